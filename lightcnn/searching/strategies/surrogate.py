"""Surrogate: a Gaussian process over genes and cost predicts scores, and the most promising network is proposed.

Expected improvement over the best prediction among the known networks (Jones, Schonlau and Welch 1998, doi
10.1023/A:1008306431147). Nothing is kept between trials: everything follows from the study, the seed and the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm

from lightcnn.searching.strategies.base import CandidateLike, Shapes, gene_features, randomness
from lightcnn.searching.strategies.gaussian_process import GaussianProcess
from lightcnn.space import Shape

STARTUP_TRIALS = 8
"""Networks with a score before the process is fitted; until then the draw that is furthest from all is proposed, or, of
the first trials, a mutation of a start."""
DRAW_EVERY = 3
"""One of so many of the first `STARTUP_TRIALS` trials is a draw. In the four larger groups of
tests/benchmarks/prior_table.jsonl, 11 of the 13 mutations of the start ended above all draws. On made-up tables, whose
start is no better than others, draws alone are about as good (docs/reference/measurements.md)."""
DRAWS, PARENTS, CHILDREN, GENERATIONS = 16, 5, 10, 2
"""Candidates: so many draws, and so many children of the best parents, twice followed by children of the candidates."""
MAX_NETWORKS, BEST_NETWORKS = 300, 200
"""Of more networks than that, the best and those with the lowest numbers are fitted."""


def propose_by_surrogate(shapes: Shapes, study: Study, trial: FrozenTrial, seed: int, /) -> Shape:
    """The candidate with the largest expected improvement."""
    random = randomness(seed, trial.number, "surrogate")
    known, scores = _scored(shapes, study)
    if len(known) < STARTUP_TRIALS and trial.number < STARTUP_TRIALS and trial.number % DRAW_EVERY:
        starts = shapes.start_shapes()
        return shapes.mutate(starts[trial.number % len(starts)], random)
    drawn = [shapes.candidate(shapes.draw(random), random) for _ in range(DRAWS)]
    if len(known) < STARTUP_TRIALS:
        return dict(_furthest(shapes, drawn, known).shape)
    return dict(_Search(shapes, known, scores, random).best_of(drawn).shape)


class _Search:
    """Candidates under one fitted process."""

    def __init__(self, shapes: Shapes, known: list[CandidateLike], scores: Sequence[float], random: Random) -> None:
        self._shapes, self._random = shapes, random
        self._known = {candidate.key for candidate in known}
        self._scaler = _Scaler(shapes, known)
        targets = _targets(np.array(scores))
        self._process = GaussianProcess.fit(self._scaler.points(known), targets)
        means, _ = self._process.predict(self._scaler.points(known))
        within = [i for i in np.argsort(-means, kind="stable") if max(known[i].violations.values(), default=0) <= 0]
        self._incumbent = float(means[within[0]]) if within else float(means.min())
        self._parents = [known[i] for i in within[:PARENTS]]

    def best_of(self, drawn: Sequence[CandidateLike]) -> CandidateLike:
        """The best of the draws, of mutations of the known, and of mutations of the best of these."""
        candidates = [*drawn, *self._children(self._parents)]
        for _ in range(GENERATIONS):
            ranked = self._ranked(candidates)
            candidates = [*ranked, *self._children(ranked[:PARENTS])]
        return self._ranked(candidates)[0]

    def _children(self, parents: Sequence[CandidateLike]) -> list[CandidateLike]:
        """`CHILDREN` fitted mutations of the parents in turn."""
        chosen = [parents[i % len(parents)] for i in range(CHILDREN)] if parents else []
        return [
            self._shapes.candidate(self._shapes.mutate(parent.shape, self._random), self._random) for parent in chosen
        ]

    def _ranked(self, candidates: Sequence[CandidateLike]) -> list[CandidateLike]:
        """New candidates, each once, by expected improvement; all of them if none is new."""
        new = list({c.key: c for c in candidates if c.key not in self._known}.values()) or list(candidates)
        mean, deviation = self._process.predict(self._scaler.points(new))
        gain = (mean - self._incumbent) / np.maximum(deviation, 1e-12)  # 0 if all scores are equal
        improvement = deviation * (gain * norm.cdf(gain) + norm.pdf(gain))
        return [new[i] for i in np.argsort(-improvement, kind="stable")]


class _Scaler:
    """Features as standardised points: constant columns are left out."""

    def __init__(self, shapes: Shapes, known: Sequence[CandidateLike]) -> None:
        self._shapes = shapes
        self._genes = tuple(shapes.genes())
        self._rows: dict[str, list[float]] = {}
        table = self._table(known)
        self._mean, deviation = table.mean(axis=0), table.std(axis=0)
        self._varies = deviation > 1e-12
        self._deviation = np.where(self._varies, deviation, 1.0)

    def points(self, candidates: Sequence[CandidateLike]) -> NDArray[np.float64]:
        """Standardised features (N, F)."""
        standardised = (self._table(candidates) - self._mean) / self._deviation
        return np.asarray(standardised[:, self._varies])

    def _table(self, candidates: Sequence[CandidateLike]) -> NDArray[np.float64]:
        return np.array([self._row(candidate) for candidate in candidates])

    def _row(self, candidate: CandidateLike) -> list[float]:
        """Genes and cost of a candidate, which are looked at again in every generation."""
        if candidate.key not in self._rows:
            genes = gene_features(self._genes, candidate.shape)
            self._rows[candidate.key] = [*genes, *self._shapes.features(candidate)]
        return self._rows[candidate.key]


def _scored(shapes: Shapes, study: Study) -> tuple[list[CandidateLike], list[float]]:
    """Every network that was scored, with its promise; failed trials have the lowest one."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    values = [trial.value for trial in trials if trial.value is not None]
    if not values:
        return [], []
    lowest = min(values)
    rated = [(lowest if trial.value is None else trial.value, trial) for trial in trials]
    if len(rated) > MAX_NETWORKS:
        rated.sort(key=lambda pair: (-pair[0], pair[1].number))
        rest = sorted(rated[BEST_NETWORKS:], key=lambda pair: pair[1].number)
        rated = rated[:BEST_NETWORKS] + rest[: MAX_NETWORKS - BEST_NETWORKS]
    known: dict[str, tuple[CandidateLike, float]] = {}
    for score, trial in rated:
        candidate = shapes.inspect(_shape(shapes, trial))
        known.setdefault(candidate.key, (candidate, score))
    return [candidate for candidate, _ in known.values()], [score for _, score in known.values()]


def _shape(shapes: Shapes, trial: FrozenTrial) -> Shape:
    """The shape that a trial trained."""
    stored = {gene.name: trial.user_attrs["shape"][gene.name] for gene in shapes.genes()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}


def _targets(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standardised scores; what lies further below the median than twice the best lies above it is raised to that."""
    median = float(np.median(scores))
    raised = np.maximum(scores, median - 2 * (scores.max() - median))
    deviation = raised.std()
    return np.asarray((raised - raised.mean()) / (deviation if deviation > 1e-12 else 1.0))


def _furthest(shapes: Shapes, drawn: Sequence[CandidateLike], known: Sequence[CandidateLike]) -> CandidateLike:
    """The draw whose nearest known network is furthest; the first draw if none is known."""
    if not known:
        return drawn[0]
    scaler = _Scaler(shapes, [*known, *drawn])
    gaps = scaler.points(drawn)[:, None] - scaler.points(known)[None]
    return drawn[int(np.argmax((gaps**2).sum(axis=2).min(axis=1)))]
