"""How the next shape is proposed: strategies as Optuna samplers, each trial's randomness from (seed, trial number)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from lightcnn.errors import InputError
from lightcnn.space import Gene, Shape

STARTUP = {"evolution": 4, "tpe": 8}
"""Trials with a result before a strategy learns from them: until then shapes are drawn."""
PARENTS = 0.25
"""Share of the trials so far, best first, that a mutation picks its parent from."""


class Shapes(Protocol):
    """What a strategy proposes from: genes, a first shape, draws and mutations."""

    def genes(self) -> Sequence[Gene]: ...
    def first(self) -> Shape: ...
    def draw(self, random: Random) -> Shape: ...
    def mutate(self, shape: Mapping[str, Any], random: Random) -> Shape: ...


def randomness(seed: int, number: int, purpose: str) -> Random:
    """The random numbers of one purpose of one trial."""
    return Random(hashlib.sha256(f"{seed}/{number}/{purpose}".encode()).digest())


def distributions(genes: Sequence[Gene]) -> dict[str, BaseDistribution]:
    """One Optuna distribution a gene: integers where the options are evenly spaced, categories elsewhere."""
    found: dict[str, BaseDistribution] = {}
    for gene in genes:
        steps = {b - a for a, b in zip(gene.options, gene.options[1:], strict=False)} if gene.ordered else set()
        if len(steps) == 1:
            found[gene.name] = IntDistribution(gene.options[0], gene.options[-1], step=steps.pop())
        else:
            found[gene.name] = CategoricalDistribution([_encode(option) for option in gene.options])
    return found


def decode(genes: Sequence[Gene], params: Mapping[str, Any]) -> Shape:
    """Optuna's parameters as a shape."""
    return {gene.name: next(o for o in gene.options if _encode(o) == params[gene.name]) for gene in genes}


class SeededSampler(optuna.samplers.BaseSampler):
    """A strategy as a sampler. What it proposes depends on the finished trials, the seed and the trial's number."""

    def __init__(self, shapes: Shapes, strategy: str, seed: int) -> None:
        if strategy not in STRATEGIES:
            raise InputError(f"strategy {strategy!r}: there are {', '.join(STRATEGIES)}")
        self._shapes = shapes
        self._propose = STRATEGIES[strategy]
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All genes, always."""
        return distributions(self._shapes.genes())

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of one trial."""
        first = trial.number == 0
        shape = self._shapes.first() if first else self._propose(self._shapes, study, trial, self._seed)
        return {name: _encode(value) for name, value in shape.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never needed: every gene is in the relative space."""
        raise KeyError(param_name)


def _random(shapes: Shapes, study: Study, trial: FrozenTrial, seed: int) -> Shape:
    return shapes.draw(randomness(seed, trial.number, "draw"))


def _evolution(shapes: Shapes, study: Study, trial: FrozenTrial, seed: int) -> Shape:
    """Mutates one of the best so far (after regularized evolution, arXiv:1802.01548, with ranks in place of age).

    A quarter of the trials stays random, so that no corner of the space is closed for good.
    """
    random = randomness(seed, trial.number, "draw")
    ranked = _ranked(study)
    if len(ranked) < STARTUP["evolution"] or random.random() < 0.25:
        return shapes.draw(random)
    parents = ranked[: max(1, round(PARENTS * len(ranked)))]
    parent = random.choice(parents)
    shape = {gene.name: parent.user_attrs["shape"][gene.name] for gene in shapes.genes()}
    return shapes.mutate({name: tuple(v) if isinstance(v, list) else v for name, v in shape.items()}, random)


def _tpe(shapes: Shapes, study: Study, trial: FrozenTrial, seed: int) -> Shape:
    """Optuna's tree-structured Parzen estimator over the genes, multivariate, its generator seeded anew each trial."""
    space = distributions(shapes.genes())
    sampler = optuna.samplers.TPESampler(
        multivariate=True, n_startup_trials=STARTUP["tpe"], seed=randomness(seed, trial.number, "tpe").getrandbits(32)
    )
    params = sampler.sample_relative(study, trial, space)
    return decode(shapes.genes(), params) if params else _random(shapes, study, trial, seed)


def _ranked(study: Study) -> list[FrozenTrial]:
    """Trials with a result, best first: by how far they came, then by validation accuracy."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    scored = [t for t in trials if t.intermediate_values and "twin" not in t.user_attrs]
    return sorted(
        scored,
        key=lambda t: (-max(t.intermediate_values), -t.intermediate_values[max(t.intermediate_values)], t.number),
    )


STRATEGIES: dict[str, Callable[[Shapes, Study, FrozenTrial, int], Shape]] = {
    "evolution": _evolution,
    "tpe": _tpe,
    "random": _random,
}


def _encode(option: Any) -> Any:
    """Optuna stores plain values only: tuples become JSON text."""
    return json.dumps(option) if isinstance(option, (tuple, list)) else option
