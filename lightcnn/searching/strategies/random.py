"""Random search: every shape is drawn uniformly."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial

from lightcnn.searching.strategies.base import Shapes, randomness
from lightcnn.space import Shape


def propose_random(shapes: Shapes, study: Study, trial: FrozenTrial, seed: int, /) -> Shape:
    """A shape drawn uniformly."""
    return shapes.draw(randomness(seed, trial.number, "draw"))
