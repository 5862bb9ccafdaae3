"""Evolution: most shapes are mutations of the best ones so far."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial

from lightcnn.searching.strategies.base import Shapes, randomness, ranked_trials
from lightcnn.space import Shape

STARTUP_TRIALS = 4
"""Trials with a score before the first mutation; until then shapes are drawn."""
PARENT_SHARE = 0.25
"""The best share of the trials so far, from which the parent of a mutation is picked."""
RANDOM_SHARE = 0.25
"""Share of the proposals that stay random, so that no corner of the space is closed for good."""


def propose_by_evolution(shapes: Shapes, study: Study, trial: FrozenTrial, seed: int, /) -> Shape:
    """A mutation of one of the best shapes (after regularized evolution, arXiv:1802.01548, by rank instead of age)."""
    random = randomness(seed, trial.number, "draw")
    ranked = ranked_trials(study)
    if len(ranked) < STARTUP_TRIALS or random.random() < RANDOM_SHARE:
        return shapes.draw(random)
    parents = ranked[: max(1, round(PARENT_SHARE * len(ranked)))]
    parent = random.choice(parents)
    shape = {gene.name: parent.user_attrs["shape"][gene.name] for gene in shapes.genes()}
    return shapes.mutate({name: tuple(v) if isinstance(v, list) else v for name, v in shape.items()}, random)
