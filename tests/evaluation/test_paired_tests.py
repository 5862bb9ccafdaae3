"""Paired tests against published examples, statsmodels, and second implementations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from lightcnn.evaluation import auc_variance
from lightcnn.evaluation.auc_variance import area_difference, mean_area
from lightcnn.evaluation.paired_tests import (
    detectable_difference,
    discordant,
    holm,
    mcnemar,
    mean_difference,
    sign_flips,
    tango,
)

ONE = np.zeros(200, dtype=np.int64)


def differences_of(only_a: int, only_b: int, count: int) -> NDArray[np.float64]:
    """Differences (count,) of that many discordant pairs."""
    return np.array([1.0] * only_a + [-1.0] * only_b + [0.0] * (count - only_a - only_b))


@pytest.mark.parametrize(
    ("only_a", "only_b"), [(1, 7), (6, 16), (16, 6), (0, 3), (12, 12), (13, 12), (40, 20), (3, 60)]
)
def test_mcnemar_is_statsmodels(only_a: int, only_b: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar as reference

    exact = only_a + only_b < 25
    expected = reference([[50, only_a], [only_b, 40]], exact=exact, correction=False).pvalue
    assert mcnemar(only_a, only_b).p == pytest.approx(expected, abs=1e-12)
    assert ("exact" in mcnemar(only_a, only_b).name) == exact


def test_mcnemar_of_the_published_examples() -> None:
    """Airway reactivity and complete response in Fagerland, Lydersen and Laake (2013), tables 1 and 2."""
    assert mcnemar(1, 7).p == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(6, 16).p == pytest.approx(0.0525, abs=5e-5)
    assert mcnemar(0, 0).p == 1
    assert mcnemar(5, 0).p == 2 / 32


def test_tango_of_the_published_example() -> None:
    """Airway reactivity in Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014): -0.517 to -0.026."""
    assert tango(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(
    ("only_a", "only_b", "count"), [(1, 7, 21), (6, 16, 161), (40, 20, 160), (3, 0, 30), (0, 0, 50)]
)
def test_tango_inverts_the_score_test_of_a_maximised_likelihood(only_a: int, only_b: int, count: int) -> None:
    def score(gap: float) -> float:
        def loss(share: float) -> float:
            cells = np.array([share + gap, share, 1 - 2 * share - gap])
            seen = np.array([only_a, only_b, count - only_a - only_b])
            return -float(stats.multinomial.logpmf(seen, count, cells)) if (cells > 0).all() else 1e9

        low, high = max(0.0, -gap), (1 - gap) / 2
        share = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        return (only_a - only_b - count * gap) ** 2 / (count * (2 * share + gap - gap**2))

    for edge in tango(only_a, only_b, count):
        assert score(edge) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-3)


def test_tango_at_its_edges() -> None:
    assert tango(5, 0, 5)[1] == 1
    assert tango(0, 5, 5)[0] == -1
    assert tango(2, 9, 40) == pytest.approx([-edge for edge in reversed(tango(9, 2, 40))])


def test_effect_sizes_by_hand_and_scipy() -> None:
    effects = discordant(6, 16)
    assert effects.cohens_g is not None and effects.odds_ratio is not None
    assert effects.cohens_g.value == pytest.approx(6 / 22 - 0.5)
    low, high = stats.beta.ppf(0.025, 6, 17), stats.beta.ppf(0.975, 7, 16)
    assert (effects.cohens_g.low, effects.cohens_g.high) == pytest.approx((low - 0.5, high - 0.5))
    assert effects.odds_ratio.value == pytest.approx(6 / 16)
    assert (effects.odds_ratio.low, effects.odds_ratio.high) == pytest.approx((low / (1 - low), high / (1 - high)))
    infinite = discordant(4, 0).odds_ratio
    assert infinite is not None and infinite.value is None and infinite.high is None and infinite.low > 0
    assert discordant(0, 0).cohens_g is None


def test_holm_is_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    values = np.random.default_rng(0).random(20) ** 3
    assert holm(list(values)) == pytest.approx(multipletests(values, method="holm")[1])


def test_the_adjusted_interval_is_that_of_bonett_and_price_for_independent_images() -> None:
    only_a, only_b, count = 6, 16, 161
    estimate = mean_difference(differences_of(only_a, only_b, count), ONE[:count], np.arange(count))
    first, second = (only_a + 1) / (count + 2), (only_b + 1) / (count + 2)
    error = np.sqrt((first + second - (first - second) ** 2) / (count + 2))
    assert estimate.low is not None and estimate.high is not None
    assert (estimate.low + estimate.high) / 2 == pytest.approx(first - second)
    assert estimate.standard_error == pytest.approx(error, rel=0.005), "except for Bessel's correction"
    assert estimate.difference == pytest.approx(-10 / 161)


def test_copies_in_a_group_add_nothing() -> None:
    single = differences_of(6, 2, 40)
    copied, groups = np.repeat(single, 5), np.repeat(np.arange(40), 5)
    once = mean_difference(single, ONE[:40], np.arange(40))
    again = mean_difference(copied, ONE[:200], groups)
    assert vars(again) == pytest.approx(vars(once))
    assert sign_flips(copied, ONE[:200], groups, 0).p == sign_flips(single, ONE[:40], np.arange(40), 0).p


def test_strata_are_means_of_means() -> None:
    differences, strata = np.array([1.0, 0, 0, 0, -1, 0]), np.array([0, 0, 0, 0, 1, 1])
    estimate = mean_difference(differences, strata, np.arange(6))
    assert estimate.difference == pytest.approx((1 / 4 - 1 / 2) / 2)
    assert estimate.degrees == 3


def test_runs_that_never_differ_still_have_an_interval() -> None:
    estimate = mean_difference(np.zeros(100), ONE[:100], np.arange(100))
    assert estimate.low == -estimate.high < -0.02  # type: ignore[operator]
    assert sign_flips(np.zeros(100), ONE[:100], np.arange(100), 0).p == 1


def test_all_sign_flips_of_few_groups_are_enumerated() -> None:
    differences, groups = np.array([1.0, 1, -1, 0.5, 0.5, 0]), np.array([0, 1, 2, 3, 3, 4])
    sums = [1.0, 1, -1, 1]
    flipped = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=4)]
    test = sign_flips(differences, ONE[:6], groups, 0)
    assert test.p == np.mean([value >= 2 for value in flipped])


def test_drawn_sign_flips_are_near_the_exact_test() -> None:
    differences = differences_of(16, 6, 161)
    test = sign_flips(differences, ONE[:161], np.arange(161), 3)
    assert test.p == pytest.approx(mcnemar(16, 6).p, abs=0.01)
    assert test == sign_flips(differences, ONE[:161], np.arange(161), 3)
    assert sign_flips(np.ones(40), ONE[:40], np.arange(40), 0).p == 1 / 10_001


def delong_over_pairs(labels: NDArray[np.int64], a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """AUC difference and its p value after DeLong, with the kernel evaluated for all pairs."""
    values, tens, ones = [], [], []
    for scores in (a, b):
        yes, no = scores[labels == 1], scores[labels == 0]
        kernel = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in no] for x in yes])
        values.append(kernel.mean())
        tens.append(kernel.mean(axis=1))
        ones.append(kernel.mean(axis=0))
    covariance = np.cov(tens) / len(tens[0]) + np.cov(ones) / len(ones[0])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return values[0] - values[1], float(2 * stats.norm.sf(abs(values[0] - values[1]) / np.sqrt(variance)))


def drawn_scores(
    seed: int, count: int = 60, rounded: bool = True
) -> tuple[NDArray[np.int64], *tuple[NDArray[np.float64], ...]]:
    """Labels, and the positive probabilities of two runs, with ties; the first run is better."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3 == 0
    shared = random.normal(size=count) + labels
    runs = [1 / (1 + np.exp(-(shared + spread * random.normal(size=count)))) for spread in (0.3, 1.2)]
    return labels.astype(np.int64), *(np.round(scores, 2) if rounded else scores for scores in runs)


def two_classes(positive: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1, N, 2) of positive probabilities (N,)."""
    return np.stack([1 - positive, positive], axis=1)[None]


@pytest.mark.parametrize("seed", range(5))
def test_delong_equals_the_kernel_over_all_pairs(seed: int) -> None:
    labels, a, b = drawn_scores(seed)
    folds = np.zeros((1, 60), dtype=np.int64)
    of_a, of_b = mean_area(labels, two_classes(a), folds), mean_area(labels, two_classes(b), folds)
    assert of_a is not None and of_b is not None
    estimate, test = area_difference(of_a, of_b, labels, np.arange(60))
    assert (estimate.difference, test.p) == pytest.approx(delong_over_pairs(labels, a, b))
    assert test.name == "DeLong"


def test_areas_of_classes_and_seeds_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    labels, probabilities = np.arange(90) % 3, random.dirichlet([1, 1, 1], (2, 90))
    expected = np.mean([roc_auc_score(labels, of_seed, multi_class="ovr") for of_seed in probabilities])
    area = mean_area(labels, probabilities, np.zeros((2, 90), dtype=np.int64))
    assert area is not None
    assert area.value == pytest.approx(expected)
    assert area.components.sum() == pytest.approx(0, abs=1e-12)
    assert mean_area(labels % 2, probabilities, np.zeros((2, 90), dtype=np.int64)) is None


def test_areas_do_not_compare_scores_of_different_folds() -> None:
    labels = np.array([0, 1, 0, 1])
    positive = np.array([0.1, 0.2, 0.8, 0.9])
    one_fold, two_folds = (
        mean_area(labels, two_classes(positive), np.array([folds])) for folds in ([0, 0, 0, 0], [0, 0, 1, 1])
    )
    assert one_fold is not None and two_folds is not None
    assert (one_fold.value, two_folds.value) == (0.75, 1.0)


def test_copies_in_a_group_add_nothing_to_an_area() -> None:
    labels, a, b = drawn_scores(0)
    errors = []
    for times in (1, 4):
        folds = np.zeros((1, 60 * times), dtype=np.int64)
        many = np.repeat(labels, times)
        of_a, of_b = (mean_area(many, two_classes(np.repeat(scores, times)), folds) for scores in (a, b))
        assert of_a is not None and of_b is not None
        errors.append(area_difference(of_a, of_b, many, np.repeat(np.arange(60), times))[0].standard_error)
    assert errors[1] == pytest.approx(errors[0], rel=0.03)


def test_two_perfect_areas_have_no_interval() -> None:
    labels, perfect = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    area = mean_area(labels, two_classes(perfect), np.zeros((1, 4), dtype=np.int64))
    assert area is not None
    estimate, test = area_difference(area, area, labels, np.arange(4))
    assert (estimate.low, estimate.high, test.p) == (None, None, 1)


@pytest.mark.parametrize("other", [np.full(40, 0.5), np.linspace(0.9, 0.1, 40)])
def test_perfect_scores_differ_from_constant_and_from_inverted_ones(other: NDArray[np.float64]) -> None:
    labels, folds = (np.arange(40) >= 20).astype(np.int64), np.zeros((1, 40), dtype=np.int64)
    of_a, of_b = (
        mean_area(labels, two_classes(np.linspace(0.1, 0.9, 40)), folds),
        mean_area(labels, two_classes(other), folds),
    )
    assert of_a is not None and of_b is not None
    estimate, test = area_difference(of_a, of_b, labels, np.arange(40))
    assert (estimate.difference, estimate.low) == (1 - of_b.value, None)
    assert test.p < 0.001
    assert test.name == "no observable variance: sign flips, 10,000 draws"
    assert area_difference(of_a, of_b, labels, np.arange(40), 1)[1].p == pytest.approx(test.p, abs=1e-3)


@pytest.mark.parametrize("seeds", [(1, 1), (2, 2)])
def test_the_effect_of_exchanges_is_the_difference_of_the_exchanged_areas(seeds: tuple[int, int]) -> None:
    """For exchanges of ten groups, the AUC of the exchanged ranks is computed in every fold of every seed."""
    random = np.random.default_rng(4)
    labels, groups = np.arange(30) % 3, np.arange(30) % 10
    folds = random.permuted(np.arange(30)[None].repeat(2, axis=0) // 3 % 2, axis=1)[: seeds[0]]
    a, b = (random.dirichlet([1, 1, 1], (count, 30)) for count in seeds)
    of_a, of_b = mean_area(labels, a, folds), mean_area(labels, b, folds)
    assert of_a is not None and of_b is not None
    sums = np.bincount(groups, weights=auc_variance._exchange_effects(of_a, of_b, labels))

    ranks = [np.zeros_like(run) for run in (a, b)]
    for run, ranked in zip((a, b), ranks, strict=True):
        for seed, fold in product(range(seeds[0]), (0, 1)):
            in_fold = folds[seed] == fold
            ranked[seed, in_fold] = (stats.rankdata(run[seed, in_fold], axis=0) - 0.5) / in_fold.sum()
    for signs in random.choice([-1, 1], (20, 10)):
        swapped = (signs[groups] < 0)[:, None]
        first, second = np.where(swapped, ranks[1], ranks[0]), np.where(swapped, ranks[0], ranks[1])
        values = [mean_area(labels, ranked, folds) for ranked in (first, second)]
        assert signs @ sums == pytest.approx(values[0].value - values[1].value, abs=1e-12)  # type: ignore[union-attr]


def test_a_class_in_one_group_is_tested_by_sign_flips() -> None:
    labels, groups = np.array([1, 1, 0, 0, 0, 0]), np.array([0, 0, 1, 2, 3, 4])
    folds = np.zeros((1, 6), dtype=np.int64)
    of_a = mean_area(labels, two_classes(np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.4])), folds)
    of_b = mean_area(labels, two_classes(np.full(6, 0.5)), folds)
    assert of_a is not None and of_b is not None
    assert area_difference(of_a, of_b, labels, groups)[1].p < 1
    assert area_difference(of_a, of_a, labels, groups)[1].p == 1


def obuchowski(
    labels: NDArray[np.int64], groups: NDArray[np.int64], scores: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    """The variance of a difference of areas by the formulas of Obuchowski (1997), section 3."""
    yes, no = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    m, n, every = len(yes), len(no), sorted(set(groups))
    with_yes, with_no = (len(set(groups[images])) for images in (yes, no))
    tens, ones = [], []
    for run in scores:
        kernel = [[1.0 if run[i] > run[j] else 0.5 if run[i] == run[j] else 0.0 for j in no] for i in yes]
        theta = sum(map(sum, kernel)) / (m * n)
        v10, v01 = [sum(row) / n for row in kernel], [sum(column) / m for column in zip(*kernel, strict=True)]
        tens.append([sum(v - theta for v, i in zip(v10, yes, strict=True) if groups[i] == g) for g in every])
        ones.append([sum(v - theta for v, j in zip(v01, no, strict=True) if groups[j] == g) for g in every])

    def covariance(r: int, s: int) -> float:
        s10 = with_yes / ((with_yes - 1) * m) * sum(x * y for x, y in zip(tens[r], tens[s], strict=True))
        s01 = with_no / ((with_no - 1) * n) * sum(x * y for x, y in zip(ones[r], ones[s], strict=True))
        factor = len(every) / (len(every) - 1)
        s11 = factor * sum(x * y for x, y in zip(tens[r], ones[s], strict=True))
        s11_reversed = factor * sum(x * y for x, y in zip(tens[s], ones[r], strict=True))
        return s10 / m + s01 / n + (s11 + s11_reversed) / (m * n)

    return covariance(0, 0) + covariance(1, 1) - 2 * covariance(0, 1)


@pytest.mark.parametrize("mixed", [0, 3])
def test_clustered_delong_is_obuchowskis_formula(mixed: int) -> None:
    """Five groups with positives, some also with negatives, and a hundred groups with negatives."""
    random = np.random.default_rng(mixed)
    positives, negatives = np.repeat(np.arange(5), 3), np.repeat(np.arange(5 - mixed, 105 - mixed), 2)
    groups = np.concatenate([positives, negatives])
    labels = np.repeat([1, 0], [len(positives), len(negatives)]).astype(np.int64)
    raw = random.normal(size=105)[groups] + labels
    a, b = (np.round(1 / (1 + np.exp(-(raw + spread * random.normal(size=len(raw))))), 2) for spread in (0.3, 1.5))
    folds = np.zeros((1, len(labels)), dtype=np.int64)
    of_a, of_b = mean_area(labels, two_classes(a), folds), mean_area(labels, two_classes(b), folds)
    assert of_a is not None and of_b is not None
    estimate, test = area_difference(of_a, of_b, labels, groups)
    assert estimate.standard_error**2 == pytest.approx(obuchowski(labels, groups, (a, b)), rel=1e-10)
    assert (test.name, estimate.degrees) == ("DeLong, clustered", 4)


def patients(seed: int, gap: float, times: int = 300) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Differences and groups of two runs whose predictions for a patient's 1 to 9 images are correlated."""
    random = np.random.default_rng(seed)
    for _ in range(times):
        groups = np.repeat(np.arange(40), random.integers(1, 10, 40))
        shared = random.normal(size=(2, 40))[:, groups]
        noise = random.normal(size=(2, len(groups)))
        bounds = stats.norm.ppf([0.7 + gap, 0.7])
        correct = (0.9 * shared + np.sqrt(1 - 0.81) * noise < bounds[:, None]).astype(float)
        yield correct[0] - correct[1], groups


def test_chance_is_significant_in_at_most_one_of_twenty_comparisons() -> None:
    significant, naively, covered = 0, 0, 0
    for differences, groups in patients(0, 0.0):
        strata = np.zeros(len(groups), dtype=np.int64)
        significant += sign_flips(differences, strata, groups, 0).p < 0.05
        naively += mcnemar(int((differences > 0).sum()), int((differences < 0).sum())).p < 0.05
        interval = mean_difference(differences, strata, groups)
        covered += interval.low <= 0 <= interval.high  # type: ignore[operator]
    assert significant / 300 < 0.09, "0.05 plus twice its standard error"
    assert naively / 300 > 0.2, "McNemar's test is invalid for images that are not independent"
    assert covered / 300 > 0.91


def test_a_detectable_difference_is_detected_in_four_of_five_comparisons() -> None:
    detected = []
    detectable = []
    for differences, groups in patients(1, 0.2):
        strata = np.zeros(len(groups), dtype=np.int64)
        detectable.append(detectable_difference(mean_difference(differences, strata, groups)))
        detected.append(sign_flips(differences, strata, groups, 0).p < 0.05)
    assert np.mean(detectable) == pytest.approx(0.2, abs=0.06), "the true difference is about the detectable one"
    assert 0.65 < np.mean(detected) < 0.95
