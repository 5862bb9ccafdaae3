"""The function of each strategy."""

from __future__ import annotations

from collections.abc import Mapping

from lightcnn.errors import InputError
from lightcnn.searching.strategies.base import Strategy
from lightcnn.searching.strategies.evolution import propose_by_evolution
from lightcnn.searching.strategies.names import STRATEGIES
from lightcnn.searching.strategies.random import propose_random
from lightcnn.searching.strategies.surrogate import propose_by_surrogate
from lightcnn.searching.strategies.tpe import propose_by_tpe

FUNCTIONS: Mapping[str, Strategy] = {
    "surrogate": propose_by_surrogate,
    "evolution": propose_by_evolution,
    "tpe": propose_by_tpe,
    "random": propose_random,
}


READ_SHAPES = frozenset({"surrogate", "evolution", "random"})
"""Strategies that read the shapes of trials, and not their parameters, which take long to make."""


def strategy_by_name(name: str) -> Strategy:
    """The strategy with that name. Raises: InputError if there is none."""
    if name not in FUNCTIONS:
        raise InputError(f"strategy {name!r}: unknown strategy; choose {', '.join(STRATEGIES)}")
    return FUNCTIONS[name]
