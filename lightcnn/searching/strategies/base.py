"""What all strategies share: the protocols, the mapping between genes and Optuna's parameters, and the sampler."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightcnn.searching.trials.storage import Outcome
from lightcnn.space import Gene, Shape


class CandidateLike(Protocol):
    """What is scored: its shape, a key that is equal for equal candidates, and relative violations of its limits."""

    @property
    def shape(self) -> Mapping[str, Any]: ...
    @property
    def key(self) -> str: ...
    @property
    def violations(self) -> Mapping[str, float]: ...


class Shapes(Protocol):
    """What a strategy proposes from: genes, shapes to begin with, random shapes, mutations, and candidates of shapes.

    `candidate` is the nearest one that meets the budget, `inspect` that of the shape as it is. `features` are numbers
    about a candidate that cost nothing to know, as many for every candidate.
    """

    def genes(self) -> Sequence[Gene]: ...
    def start_shapes(self) -> Sequence[Shape]: ...
    def draw(self, random: Random) -> Shape: ...
    def mutate(self, shape: Mapping[str, Any], random: Random) -> Shape: ...
    def candidate(self, shape: Mapping[str, Any], random: Random) -> CandidateLike: ...
    def inspect(self, shape: Mapping[str, Any]) -> CandidateLike: ...
    def features(self, candidate: Any) -> Sequence[float]: ...


class Strategy(Protocol):
    """Proposes the shape of a trial from the finished trials of the study, the seed and the trial's number."""

    def __call__(self, shapes: Shapes, study: Study, trial: FrozenTrial, seed: int, /) -> Shape: ...


@dataclass(frozen=True)
class Bands:
    """Spaces of ascending cost, in which trials propose in turn; the only space of a search for a single network.

    The order of the turns spreads any number of trials over the costs: the last band, the first one, one between them.
    """

    spaces: tuple[Shapes, ...]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The bands in the order of their turns, each the furthest from those before it."""
        count = len(self.spaces)
        chosen = [count - 1]
        while len(chosen) < count:
            rest = [band for band in range(count) if band not in chosen]
            chosen.append(max(rest, key=lambda band: min(abs(band - other) for other in chosen)))
        return tuple(chosen)

    def turn(self, number: int) -> int:
        """The place in that order of a trial's band, by which trials of the same band are known."""
        return number % len(self.order)

    def space(self, number: int) -> Shapes:
        """The space in which a trial proposes."""
        return self.spaces[self.order[self.turn(number)]]

    def start(self, number: int) -> Shape | None:
        """The shape that a trial begins with: every band tries all start shapes of its space first."""
        starts, place = self.space(number).start_shapes(), number // len(self.spaces)
        return starts[place] if place < len(starts) else None


def randomness(seed: int, number: int, purpose: str) -> Random:
    """The random numbers for one purpose of one trial."""
    return Random(hashlib.sha256(f"{seed}/{number}/{purpose}".encode()).digest())


def distributions(genes: Sequence[Gene]) -> dict[str, BaseDistribution]:
    """One Optuna distribution per gene: integers if the options are evenly spaced, else categories."""
    by_gene: dict[str, BaseDistribution] = {}
    for gene in genes:
        steps = {b - a for a, b in zip(gene.options, gene.options[1:], strict=False)} if gene.ordered else set()
        if len(steps) == 1:
            by_gene[gene.name] = IntDistribution(gene.options[0], gene.options[-1], step=steps.pop())
        else:
            by_gene[gene.name] = CategoricalDistribution([encode(option) for option in gene.options])
    return by_gene


def encode(option: Any) -> Any:
    """An option as Optuna stores it: plain values as they are, tuples as JSON text."""
    return json.dumps(option) if isinstance(option, (tuple, list)) else option


def decode(genes: Sequence[Gene], params: Mapping[str, Any]) -> Shape:
    """Optuna's parameters as a shape."""
    return {gene.name: next(o for o in gene.options if encode(o) == params[gene.name]) for gene in genes}


def ranked_trials(study: Study) -> list[FrozenTrial]:
    """Trials with a score, the most promising first."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: (-(trial.value or 0.0), trial.number))


def visible_study(
    genes: Sequence[Gene], outcomes: Sequence[Outcome], promises: Mapping[int, float], *, params: bool = True
) -> Study:
    """A study in memory of what a proposal may know: `outcomes` that are scored or have failed.

    A trial has its utilities as intermediate values. Its value is its promise: the predicted utility at the end of the
    final training, by its number. Making its `params` takes most of the time; strategies that read shapes do without.
    """
    study = optuna.create_study(direction="maximize")
    space = distributions(genes) if params else {}
    for outcome in outcomes:
        if not outcome.key or not (outcome.is_scored or outcome.state == "failed"):
            continue
        scored = outcome.is_scored
        values = {name: encode(outcome.shape[name]) for name in space} if scored else {}
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if scored else TrialState.FAIL,
                value=promises[outcome.number] if scored else None,
                params=values,
                distributions=space if scored else {},
                user_attrs={"shape": dict(outcome.shape), "number": outcome.number},
                intermediate_values=dict(outcome.utilities) if scored else {},
            )
        )
    return study


class SeededSampler(optuna.samplers.BaseSampler):
    """A strategy as an Optuna sampler. Its proposals depend on the finished trials, the seed and the trial's number."""

    def __init__(self, bands: Bands, strategy: Strategy, seed: int) -> None:
        self._bands = bands
        self._strategy = strategy
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All genes, in every trial."""
        return distributions(self._bands.spaces[0].genes())

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of one trial."""
        space = self._bands.space(trial.number)
        shape = self._bands.start(trial.number) or self._strategy(space, study, trial, self._seed)
        return {name: encode(value) for name, value in shape.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never called, since every gene is in the relative space."""
        raise KeyError(param_name)


def gene_features(genes: Sequence[Gene], shape: Mapping[str, Any]) -> list[float]:
    """Ordered genes as numbers, positive ones by their logarithm; all others as one column per option."""
    features: list[float] = []
    for gene in genes:
        value = shape[gene.name]
        if gene.ordered:
            features.append(math.log(value) if min(gene.options) > 0 else float(value))
        else:
            features += [float(value == option) for option in gene.options]
    return features
