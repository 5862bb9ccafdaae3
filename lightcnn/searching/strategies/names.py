"""The names of the strategies. No Optuna: the command line and the settings read them."""

from __future__ import annotations

from typing import Literal, get_args

StrategyName = Literal["surrogate", "evolution", "tpe", "random"]
STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
