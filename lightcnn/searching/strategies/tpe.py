"""TPE: Optuna's tree-structured Parzen estimator over the genes."""

from __future__ import annotations

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from lightcnn.searching.strategies.base import Shapes, decode, distributions, randomness
from lightcnn.searching.strategies.random import propose_random
from lightcnn.space import Shape

STARTUP_TRIALS = 8
"""Trials with a score before the estimator is used; until then shapes are drawn."""


def propose_by_tpe(shapes: Shapes, study: Study, trial: FrozenTrial, seed: int, /) -> Shape:
    """A shape from the multivariate estimator, whose random numbers are seeded for each trial."""
    space = distributions(shapes.genes())
    sampler = optuna.samplers.TPESampler(
        multivariate=True, n_startup_trials=STARTUP_TRIALS, seed=randomness(seed, trial.number, "tpe").getrandbits(32)
    )
    params = sampler.sample_relative(study, trial, space)
    return decode(shapes.genes(), params) if params else propose_random(shapes, study, trial, seed)
