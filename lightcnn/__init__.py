"""lightcnn: architecture search for lightweight CNNs under exact budgets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightcnn.budget import Budget, Cost
    from lightcnn.errors import LightcnnError
    from lightcnn.network import Network, build, fold
    from lightcnn.recipe import Recipe
    from lightcnn.run import Run
    from lightcnn.searching.job import search
    from lightcnn.space import SearchSpace
    from lightcnn.spec import NetworkSpec
    from lightcnn.trainer import train

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Cost",
    "LightcnnError",
    "Network",
    "NetworkSpec",
    "Recipe",
    "Run",
    "SearchSpace",
    "build",
    "fold",
    "search",
    "train",
]

_HOMES = {
    "Budget": "budget",
    "Cost": "budget",
    "LightcnnError": "errors",
    "Network": "network",
    "NetworkSpec": "spec",
    "Recipe": "recipe",
    "Run": "run",
    "SearchSpace": "space",
    "build": "network",
    "fold": "network",
    "search": "searching.job",
    "train": "trainer",
}


def __getattr__(name: str) -> Any:
    """Public names are loaded when first used: `import lightcnn` alone loads neither torch nor optuna."""
    if name in _HOMES:
        return getattr(import_module(f"lightcnn.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lightcnn' has no attribute {name!r}")
