"""Spaces under a budget: proposals use the tightest limit and break none; impossible budgets are refused."""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from typing import Any

import pytest
from helpers.specs import SPACES
from pydantic import ValidationError

from lightcnn import document
from lightcnn.budget import Budget
from lightcnn.cost import cost, layers
from lightcnn.device_cost import device_cost
from lightcnn.errors import BudgetError
from lightcnn.latency_model import LatencyModel, latency_features
from lightcnn.program import program
from lightcnn.searching.budgeted_space import MAX_LAYER_SHARE, MIN_CHANNELS, MIN_USE, BudgetedSpace
from lightcnn.searching.widths.meter import WidthMeter
from lightcnn.searching.widths.program_meter import ProgramWidthMeter
from lightcnn.space import SearchSpace

BUDGETS = {
    ("micro", 25): ("1MFLOPs", "0.3MFLOPs", "1MFLOPs,20kparams", "50KB", "20KB-RAM"),
    ("micro", 20): ("0.9..1MFLOPs", "0.9..1MFLOPs,20..40kparams"),
    ("micro", 15): ("128kB-flash,16kB-arena", "32KiB-flash", "8kB-arena", "1MFLOPs,64kB-flash,10kB-arena"),
    ("mobilenet", 10): ("1MB-flash,256kB-arena", "300kB-arena"),
    ("micrompoxnet", 10): ("200kB-flash,300kB-arena", "150kB-flash"),
    ("mobilenet", 15): ("1MFLOPs", "30MFLOPs", "30MFLOPs,200kparams", "300KB", "100KB-RAM"),
    ("micrompoxnet", 15): ("1MFLOPs", "50MFLOPs,630kparams", "50MFLOPs,100kparams,90KB", "50KB", "300KB-RAM"),
}
"""By space and number of shapes to draw: budgets that every shape of the space can be fitted to."""

FITTABLE = [(space, count, text) for (space, count), texts in BUDGETS.items() for text in texts]


def under(budget: str, space: str = "micro") -> BudgetedSpace:
    return BudgetedSpace(SearchSpace.load(space), Budget.parse(budget))


def refusal(budget: str, space: SearchSpace | None = None) -> str:
    with pytest.raises(BudgetError) as caught:
        BudgetedSpace(space or SearchSpace.load("micro"), Budget.parse(budget))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_shipped_space_is_tested_here() -> None:
    assert {space for space, _ in BUDGETS} == SPACES


@pytest.mark.parametrize(("space", "count", "text"), FITTABLE)
def test_proposals_use_the_tightest_limit_and_break_none(space: str, count: int, text: str) -> None:
    bound = under(text, space)
    measure = device_cost if "flash" in text or "arena" in text else cost
    random = Random(text)
    full = 0
    for _ in range(count):
        candidate = bound.candidate(bound.draw(random), random)
        assert candidate.cost == measure(candidate.spec)
        assert bound.budget.admits(candidate.cost)
        assert all(violation <= 0 for violation in candidate.violations.values())
        full += (0.9 if "20..40" in text else 0.5) <= bound.budget.used_share(candidate.cost) <= 1
    assert full >= 0.99 * count


@pytest.mark.parametrize("text", ["0.3MFLOPs", "1MFLOPs", "4MFLOPs"])
def test_draws_and_mutations_of_any_shape_are_balanced(text: str) -> None:
    bound = under(text)
    random = Random(7)
    shape = bound.first()
    for _ in range(30):
        drawn = bound.candidate(bound.draw(random), random)
        candidate = bound.candidate(bound.mutate(shape, random), random)
        shape = dict(candidate.shape)
        for proposed in (drawn, candidate):
            rows = layers(proposed.spec)
            assert min(r.shape[0] for r in rows if r.operator == "conv" and "reduce" not in r.name) >= MIN_CHANNELS
            assert max(r.cost.macs for r in rows) <= MAX_LAYER_SHARE * proposed.cost.macs


NARROW = """\
size: [16]
channels: 1
stem: {kind: [conv], width: {low: 2, high: 4}}
stages: [{kind: [conv, separable], width: {low: 4, high: 64}}]
"""


def test_unbalanced_networks_are_proposed_if_no_others_are_found() -> None:
    bound = BudgetedSpace(document.parse(SearchSpace, NARROW), Budget.parse("50kFLOPs"))
    shape = bound.draw(Random(0))
    candidate = bound.candidate(shape, Random(0))
    assert not bound.is_balanced(candidate)
    assert candidate.shape == shape


def test_the_start_is_fitted_to_the_whole_budget_even_if_it_is_not_balanced() -> None:
    bound = under("0.1MFLOPs")
    first = bound.candidate(bound.first(), Random(0))
    assert not bound.is_balanced(first)
    assert first == bound.fit(bound.first())
    assert bound.budget.used_share(first.cost) > 0.9


def test_candidates_use_half_to_all_of_the_budget() -> None:
    bound = under("1MFLOPs")
    random = Random(8)
    uses = sorted(bound.budget.used_share(bound.candidate(bound.draw(random), random).cost) for _ in range(100))
    assert 0.5 <= uses[0] < 0.55
    assert 0.68 < uses[50] < 0.82
    assert 0.95 < uses[-1] <= 1


@pytest.mark.parametrize(("text", "lowest"), [("0.1..1MFLOPs", 0.1), ("0.8..1MFLOPs", 0.8)])
def test_a_lower_limit_replaces_half_of_the_budget(text: str, lowest: float) -> None:
    bound = under(text)
    random = Random(9)
    uses = [bound.candidate(bound.draw(random), random).cost.macs / 1e6 for _ in range(40)]
    assert lowest <= min(uses) < lowest + 0.15
    assert max(uses) > 0.9


def test_a_candidate_within_the_budget_keeps_its_shape() -> None:
    bound = under("1MFLOPs")
    random = Random(10)
    for _ in range(20):
        candidate = bound.candidate(bound.draw(random), random)
        assert bound.candidate(candidate.shape, Random(0)) == candidate


@pytest.mark.parametrize(("space", "count", "text"), FITTABLE)
def test_a_candidate_is_the_network_of_its_shape(space: str, count: int, text: str) -> None:
    bound = under(text, space)
    options = {gene.name: gene.options for gene in bound.genes()}
    random = Random(1)
    for _ in range(max(count // 10, 5)):
        candidate = bound.candidate(bound.draw(random), random)
        assert candidate.spec == bound.space.spec(candidate.shape)
        assert candidate.key == candidate.spec.digest()
        assert candidate.violations == bound.budget.excess(candidate.cost)
        assert candidate.shape.keys() == options.keys()
        assert all(candidate.shape[name] in options[name] for name in options)


@pytest.mark.parametrize("text", ["1MFLOPs", "50KB", "20KB-RAM", "1MFLOPs,20kparams"])
def test_a_fit_changes_only_widths_depths_and_size(text: str) -> None:
    bound = under(text)
    random = Random(2)
    fitted = 0
    for _ in range(100):
        shape = bound.draw(random)
        before = dict(shape)
        candidate = bound.fit(shape)
        assert shape == before
        if candidate is None:
            continue
        fitted += 1
        changed = {name for name in shape if candidate.shape[name] != shape[name]}
        assert all(name == "size" or name.endswith((".width", ".depth")) for name in changed)
        assert MIN_USE <= bound.budget.used_share(candidate.cost) <= 1
    assert fitted >= 50


def test_a_fit_keeps_the_proportions_of_the_widths() -> None:
    bound = under("3MFLOPs")
    shape = bound.first() | {"stages.0.width": 20, "stages.1.width": 40, "stages.2.width": 80}
    candidate = bound.fit(shape)
    assert candidate is not None
    factor = candidate.shape["stages.2.width"] / 80
    for name, width in (("stages.0.width", 20), ("stages.1.width", 40)):
        assert candidate.shape[name] == pytest.approx(factor * width, rel=0.25)


@pytest.mark.parametrize("text", ["1MFLOPs", "50KB", "20KB-RAM", "1MFLOPs,20kparams"])
def test_no_width_of_a_fit_can_be_one_step_wider(text: str) -> None:
    bound = under(text)
    widths = {f"{path}.width": stage.width for path, stage in bound.space.stages_by_path()}
    random = Random(6)
    for _ in range(30):
        candidate = bound.fit(bound.draw(random))
        assert candidate is not None
        for name, width in widths.items():
            wider = candidate.shape[name] + width.step
            if wider <= width.high:
                assert not bound.budget.admits(cost(bound.space.spec({**candidate.shape, name: wider}))), name


DEVICE_LIMITS = {"micro": ((13, 18), (12, 16)), "mobilenet": ((17, 22), (15, 19)), "micrompoxnet": ((16, 20), (16, 19))}
"""The powers of two between which limits of flash and arena are drawn."""


def random_device_budget(space: str, random: Random) -> str:
    """Limits on flash, arena or both, some with FLOPs as well."""
    flash, arena = (round(2 ** random.uniform(*powers)) for powers in DEVICE_LIMITS[space])
    terms = [f"{flash}B-flash", f"{arena}B-arena"]
    chosen = random.choice([terms[:1], terms[1:], terms])
    return ",".join([*chosen, *random.choice([[], ["2MFLOPs"]])])


@pytest.mark.parametrize("space", sorted(SPACES))
def test_nothing_over_a_random_budget_of_flash_and_arena_is_proposed(space: str) -> None:
    random, budgets = Random(space), 0
    while budgets < 5:
        text = random_device_budget(space, random)
        try:
            bound = under(text, space)
        except BudgetError as error:
            assert "needs" in str(error) or "meets all limits" in str(error)
            continue
        budgets += 1
        for _ in range(4):
            shape = bound.draw(random)
            for candidate in (bound.candidate(shape, random), bound.fit(bound.mutate(shape, random))):
                if candidate is not None:
                    total = device_cost(candidate.spec)
                    assert candidate.cost == total
                    assert total.flash_bytes is not None and total.arena_bytes is not None
                    assert all(getattr(total, r.resource.upper[-1]) <= r.upper for r in bound.budget.limits), text


@pytest.mark.parametrize("space", sorted(SPACES))
def test_the_meter_of_widths_knows_flash_and_arena_of_the_whole_network(space: str) -> None:
    bound = under("100MB-flash,100MB-arena", space)
    random, exact = Random(3), 0
    widths = {f"{path}.width": stage.width for path, stage in bound.space.stages_by_path()}
    for _ in range(40):
        shape = bound.space.draw(random)
        meter = ProgramWidthMeter(bound.space, bound.budget, shape)
        for _ in range(2):
            changed = {name: random.choice(width.options) for name, width in widths.items()}
            total, use = device_cost(bound.space.spec(shape | changed)), meter.use(changed)
            assert total.flash_bytes is not None and total.arena_bytes is not None
            whole = max(total.flash_bytes, total.arena_bytes) / 10**8
            exact += use == whole
            assert 0.75 * whole <= use <= whole + 2_000 / 10**8
    assert exact >= 0.7 * 80


def test_a_network_that_the_generated_c_cannot_hold_is_not_proposed() -> None:
    text = WIDE.format(low=16_384, step=1)
    assert "needs inf B of flash" not in (message := refusal("100MB-flash", document.parse(SearchSpace, text)))
    assert message == (
        "budget 100MB-flash: the generated C can hold no network of the space given: none may have more than 65535 "
        "channels, rows or columns; use narrower stages"
    )
    bound = BudgetedSpace(document.parse(SearchSpace, WIDE.format(low=16, step=2046)), Budget.parse("1GB-arena"))
    assert not bound.covered
    random = Random(0)
    for _ in range(5):
        candidate = bound.candidate(bound.draw(random), random)
        assert max(row.shape[0] for row in layers(candidate.spec)) <= 65_535


WIDE = """\
size: [16]
channels: 1
stem: {{kind: [conv], width: {{low: {low}, high: 16384, step: {step}}}}}
stages: [{{kind: [mbconv], expand: [6], width: {{low: 16, high: 64}}}}]
"""


def test_a_fitted_shape_can_be_fitted_again() -> None:
    bound = under("1MFLOPs")
    random = Random(3)
    for _ in range(20):
        candidate = bound.candidate(bound.draw(random), random)
        again = bound.fit(candidate.shape)
        assert again is not None
        assert bound.budget.used_share(again.cost) >= MIN_USE


@pytest.mark.parametrize(
    "text", ["1MFLOPs", "20KB-RAM", "0.9..1MFLOPs,20..40kparams", "1MFLOPs,128kB-flash,16kB-arena"]
)
def test_the_same_shape_and_random_state_give_the_same_candidate(text: str) -> None:
    first, second = under(text), under(text)
    for seed in range(20):
        shape = first.draw(Random(seed))
        assert first.candidate(shape, Random(seed)) == second.candidate(dict(reversed(shape.items())), Random(seed))


def test_the_first_shape_of_micro_fits_the_default_budget() -> None:
    bound = under("1MFLOPs")
    candidate = bound.fit(bound.first())
    assert candidate is not None
    assert bound.budget.used_share(candidate.cost) >= MIN_USE


@pytest.mark.parametrize("space", sorted(SPACES))
def test_shapes_stay_as_they_are_if_the_budget_admits_the_largest_network(space: str) -> None:
    bound = under("1000GFLOPs,1Gparams", space)
    assert bound.covered
    random = Random(4)
    for _ in range(20):
        shape = bound.draw(random)
        candidate = bound.candidate(shape, random)
        assert candidate.shape == shape
        assert bound.budget.admits(candidate.cost)


def test_a_budget_that_limits_one_of_two_resources_is_used() -> None:
    bound = under("1MFLOPs,1Gparams")
    assert not bound.covered
    random = Random(5)
    uses = [bound.budget.used_share(bound.candidate(bound.draw(random), random).cost) for _ in range(20)]
    assert min(uses) >= MIN_USE


def test_a_budget_is_covered_if_the_largest_network_meets_it() -> None:
    space = SearchSpace.load("micro")
    largest = cost(space.spec(space.largest(lambda c: c.thop)))
    assert under(f"{largest.thop}FLOPs").covered
    assert not under(f"{largest.thop - 1}FLOPs").covered


@pytest.mark.parametrize(
    ("budget", "measure", "label"),
    [
        ("1kFLOPs", "thop", "FLOPs"),
        ("10params", "params", "params"),
        ("10B", "weight_bytes_int8", "B of int8 weights"),
        ("10B-RAM", "peak_activations", "B of int8 activations"),
        ("10B-flash", "flash_bytes", "B of flash"),
        ("10B-arena", "arena_bytes", "B of arena"),
    ],
)
@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_message_for_a_budget_below_the_smallest_network_has_its_cost_and_a_remedy(
    name: str, budget: str, measure: str, label: str
) -> None:
    space = SearchSpace.load(name)
    compute = device_cost if measure in ("flash_bytes", "arena_bytes") else cost
    least = getattr(compute(space.spec(space.smallest(lambda c: getattr(c, measure), compute))), measure)
    limit = Budget.parse(budget).limits[0].upper
    assert refusal(budget, space) == (
        f"budget {Budget.parse(budget)}: the smallest network of the space {name} needs {least} {label}, over the "
        f"limit of {limit}; raise the limit, or use a space with smaller inputs than {space.size[0]} or narrower stages"
    )


def test_the_smallest_network_itself_is_not_refused() -> None:
    space = SearchSpace.load("micro")
    least = cost(space.spec(space.smallest(lambda c: c.thop))).thop
    BudgetedSpace(space, Budget.parse(f"{least}FLOPs"))
    assert f"needs {least} FLOPs" in refusal(f"{least - 1}FLOPs")


def test_an_impossible_limit_is_refused_wherever_it_is_listed() -> None:
    assert "params, over the limit of 10;" in refusal("1MFLOPs,10params")


CONFLICT = """\
size: [16]
channels: 1
stem: {kind: [conv], width: {low: 16, high: 16}}
stages: [{kind: [conv, separable], width: {low: 4, high: 4}}]
"""


def test_limits_that_only_conflict_together_are_refused() -> None:
    # The convolution has the lower peak, (16 + 4)·256, the separable block has fewer parameters.
    space = document.parse(SearchSpace, CONFLICT)
    conv, separable = (cost(space.spec({"stages.0.kind": kind})) for kind in ("conv", "separable"))
    assert conv.peak_activations == 20 * 256 < separable.peak_activations
    assert separable.params < conv.params
    peak, params = f"{conv.peak_activations}B-RAM", f"{separable.params}params"
    for possible in (peak, params):
        BudgetedSpace(space, Budget.parse(possible))
    message = refusal(f"{peak},{params}", space)
    assert "no network in the space given meets all limits at once; the closest costs" in message
    assert message.endswith("raise the limit that it breaks")


def test_a_lower_edge_over_the_largest_network_is_refused() -> None:
    space = SearchSpace.load("micro")
    largest = cost(space.spec(space.largest(lambda c: c.thop)))
    assert refusal("20..30GFLOPs") == (
        f"budget {Budget.parse('20..30GFLOPs')}: the largest network of the space micro has {largest.macs} FLOPs, "
        "below the lower limit of 20000000000; reduce it or widen the space"
    )


def test_a_budget_with_a_lower_edge_is_never_covered() -> None:
    assert not under("1..1000000000000FLOPs").covered


def test_a_budget_that_no_shape_can_be_fitted_to_is_refused() -> None:
    bound = under("999999..1000000FLOPs")
    with pytest.raises(BudgetError) as caught:
        bound.candidate(bound.first(), Random(0))
    assert str(caught.value) == (
        f"budget {bound.budget}: none of 2000 shapes of the space micro could be fitted to it; "
        "widen the space or the budget"
    )


def test_a_budget_that_the_first_network_alone_meets_proposes_it() -> None:
    first = under("1MFLOPs").first_network()
    assert first is not None
    bound = under(f"{first.cost.macs}..{max(first.cost.fvcore, first.cost.thop)}FLOPs")
    for seed in range(3):
        random = Random(seed)
        assert bound.budget.admits(bound.candidate(bound.draw(random), random).cost)


@pytest.mark.parametrize("name", sorted(SPACES))
@pytest.mark.parametrize("unit", ["FLOPs", "params"])
def test_just_above_the_smallest_network_there_is_always_a_candidate(name: str, unit: str) -> None:
    space = SearchSpace.load(name)
    probe = Budget.parse(f"1G{unit}").limits[0].resource
    least = probe.largest_count(cost(space.spec(space.smallest(probe.largest_count))))
    bound = BudgetedSpace(space, Budget.parse(f"{round(least * 1.02)}{unit}"))
    for seed in range(5):
        random = Random(seed)
        assert bound.budget.admits(bound.candidate(bound.draw(random), random).cost)


MADE_UP = LatencyModel(
    runtime="folded",
    rates={
        "mean calls": 40.0, "small-conv calls": 30.0, "small-pointwise macs": 0.002, "depthwise groups": 1.0,
        "function elements": 0.003,
    },
    error=0.1, networks=30,
)  # fmt: skip
"""A latency model with the structure of a measured one."""


@pytest.mark.parametrize(
    "text",
    [
        "0.4ms,12kB-arena,60kB-flash",
        *(pytest.param(text, marks=pytest.mark.long) for text in ("0.4ms", "0.4ms,300kFLOPs")),
    ],
)
def test_candidates_meet_a_latency_with_other_limits(text: str) -> None:
    bound = BudgetedSpace(SearchSpace.load("micro"), Budget.parse(text), latencies=[MADE_UP])
    random, used = Random(0), []
    for _ in range(20):
        candidate = bound.candidate(bound.draw(random), random)
        assert bound.budget.admits(candidate.cost)
        expected = MADE_UP.bound(latency_features(program(candidate.spec)))
        assert candidate.cost.latency_us == math.ceil(expected) <= 400
        assert (candidate.cost.arena_bytes is not None) == ("arena" in text)
        used.append(bound.budget.used_share(candidate.cost))
    assert min(used) >= 0.5 and max(used) > 0.9


def test_bands_of_a_latency_have_networks_between_its_lower_end_and_their_limits() -> None:
    space = BudgetedSpace(SearchSpace.load("micro"), Budget.parse("0.2..0.8ms"), latencies=[MADE_UP], pareto=True)
    assert [str(band.budget) for band in space.bands] == ["200..400us", "200..800us"]
    for band, low, high in zip(space.bands, (200, 400), (400, 800), strict=True):
        for seed in range(5):
            random = Random(seed)
            latency = band.candidate(band.draw(random), random).cost.latency_us
            assert latency is not None and low <= latency <= high


def test_a_meter_predicts_the_latency_of_other_widths_exactly() -> None:
    space, budget = SearchSpace.load("micro"), Budget.parse("1ms")
    bound, random = BudgetedSpace(space, budget, latencies=[MADE_UP]), Random(2)
    for _ in range(10):
        shape = space.draw(random)
        meter = ProgramWidthMeter(space, budget, shape, [MADE_UP])
        widths = {name: value for name, value in space.draw(random).items() if name.endswith("width")}
        try:
            total = bound.cost_of(shape | widths)
        except ValidationError:
            continue
        assert meter.use(widths) == pytest.approx(budget.used_share(total), abs=2e-3)  # one microsecond of rounding


def test_a_latency_below_that_of_the_smallest_network_is_refused_with_its_time() -> None:
    needs = r"the smallest network of the space micro is predicted to need \d+ us, with the error of predictions"
    with pytest.raises(BudgetError, match=needs + r" \(\d+%\) up to \d+ us"):
        BudgetedSpace(SearchSpace.load("micro"), Budget.parse("20us"), latencies=[MADE_UP])


def test_a_fit_measures_few_widths_and_validates_few_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its speed rests on (tests/benchmarks/fit.py): a plain bisection of all widths validated every step."""
    space = BudgetedSpace(SearchSpace.load("micro").for_data(1, 10, 28), Budget.parse("1MFLOPs"))
    random, counts = Random(0), Counter[str]()
    genes = space.genes()
    shapes = [{gene.name: random.choice(gene.options) for gene in genes} for _ in range(100)]

    def count(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def counted(self: Any, *arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            return method(self, *arguments, **named)

        monkeypatch.setattr(owner, name, counted)

    count(WidthMeter, "use")
    count(SearchSpace, "spec_with_parts")
    fitted = [space.fit(shape) for shape in shapes]
    assert all(candidate is not None for candidate in fitted)
    assert len(shapes) <= counts["spec_with_parts"] < 3 * len(shapes), counts
    assert len(shapes) <= counts["use"] < 30 * len(shapes), counts
