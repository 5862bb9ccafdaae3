"""lightcnn: architecture search for lightweight CNNs under exact budgets."""

from __future__ import annotations

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightcnn.version import __version__

if TYPE_CHECKING:
    from lightcnn.ablating.job import ablate
    from lightcnn.auditing.job import audit
    from lightcnn.baseline_spec import BaselineSpec
    from lightcnn.baselines import Baseline, build_baseline, build_network
    from lightcnn.budget import Budget, Cost
    from lightcnn.comparing.job import compare
    from lightcnn.errors import LightcnnError
    from lightcnn.explaining.explain import explain
    from lightcnn.exported_model import ExportedModel
    from lightcnn.exporting.export import export
    from lightcnn.network import Network, build, fold
    from lightcnn.profiling.profile import Profile, profile
    from lightcnn.recipe import Recipe
    from lightcnn.run import Run
    from lightcnn.searching.job import search
    from lightcnn.space import SearchSpace
    from lightcnn.spec import NetworkSpec
    from lightcnn.timm_registry import register_timm
    from lightcnn.training.job import train

__all__ = [
    "Baseline",
    "BaselineSpec",
    "Budget",
    "Cost",
    "ExportedModel",
    "LightcnnError",
    "Network",
    "NetworkSpec",
    "Profile",
    "Recipe",
    "Run",
    "SearchSpace",
    "__version__",
    "ablate",
    "audit",
    "build",
    "build_baseline",
    "build_network",
    "compare",
    "explain",
    "export",
    "fold",
    "profile",
    "register_timm",
    "search",
    "train",
]

_HOMES = {
    "Baseline": "baselines",
    "BaselineSpec": "baseline_spec",
    "Budget": "budget",
    "Cost": "budget",
    "ExportedModel": "exported_model",
    "LightcnnError": "errors",
    "Network": "network",
    "NetworkSpec": "spec",
    "Profile": "profiling.profile",
    "Recipe": "recipe",
    "Run": "run",
    "SearchSpace": "space",
    "ablate": "ablating.job",
    "audit": "auditing.job",
    "build": "network",
    "build_baseline": "baselines",
    "build_network": "baselines",
    "compare": "comparing.job",
    "explain": "explaining.explain",
    "export": "exporting.export",
    "fold": "network",
    "profile": "profiling.profile",
    "register_timm": "timm_registry",
    "search": "searching.job",
    "train": "training.job",
}


def __getattr__(name: str) -> Any:
    """Public names are loaded when first used: `import lightcnn` alone loads neither torch nor optuna."""
    if name in _HOMES:
        state = random.getstate()  # Rich, for one, draws a random number when it is loaded.
        try:
            return getattr(import_module(f"lightcnn.{_HOMES[name]}"), name)
        finally:
            random.setstate(state)
    raise AttributeError(f"module 'lightcnn' has no attribute {name!r}")
