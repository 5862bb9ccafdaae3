"""The table of explanation methods, from which the command line, titles, units, colours and errors are taken.

No torch: the command line reads this module for its help.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from lightcnn.document import Frozen
from lightcnn.errors import InputError
from lightcnn.recipe import Seed
from lightcnn.text import not_one_of

if TYPE_CHECKING:
    from lightcnn.explaining.methods.attribution import Method

Needs = Literal["layer maps", "gradients", "predictions"]
"""What a method needs of a network; a network with layer maps also has gradients, and every network predicts."""


class BaselineImage(StrEnum):
    """Image at which the path of Integrated Gradients starts."""

    black = "black"
    mean = "mean"
    blur = "blur"
    random = "random"


class MethodOptions(Frozen):
    """Options of all methods.

    `layer` is used by Grad-CAM and its variants, `baseline` and `smooth` by Integrated Gradients, `samples` and
    `segments` by LIME, and `seed` by every method that uses random numbers.
    """

    layer: str | None = None
    baseline: str = "black"
    smooth: int = 0
    samples: int = 1000
    segments: int | None = None
    seed: Seed = 0


def _gradcam(options: MethodOptions) -> Method:
    from lightcnn.explaining.methods.gradcam import GradCam

    return GradCam(options.layer, "gradcam")


def _gradcam_plus_plus(options: MethodOptions) -> Method:
    from lightcnn.explaining.methods.gradcam import GradCam

    return GradCam(options.layer, "gradcam++")


def _layercam(options: MethodOptions) -> Method:
    from lightcnn.explaining.methods.gradcam import GradCam

    return GradCam(options.layer, "layercam")


def _integrated_gradients(options: MethodOptions) -> Method:
    from lightcnn.explaining.methods.integrated_gradients import IntegratedGradients

    return IntegratedGradients(options.baseline, options.smooth, seed=options.seed)


def _lime(options: MethodOptions) -> Method:
    from lightcnn.explaining.methods.lime import Lime

    return Lime(samples=options.samples, segments=options.segments, seed=options.seed)


def _occlusion(options: MethodOptions) -> Method:
    from lightcnn.explaining.methods.occlusion import Occlusion

    return Occlusion()


@dataclass(frozen=True)
class MethodKind:
    """One row of `METHODS`.

    `unit` is the unit of a map's values, or empty. Maps that are `rectified` are shown from 0 up, others with both
    signs. A `random` method has a `seed` on which its map depends, and gets the check `seeds`.
    """

    title: str
    make: Callable[[MethodOptions], Method]
    unit: str = ""
    rectified: bool = False
    random: bool = False
    needs: Needs = "predictions"


METHODS: dict[str, MethodKind] = {
    "gradcam": MethodKind("Grad-CAM", _gradcam, rectified=True, needs="layer maps"),
    "gradcam++": MethodKind("Grad-CAM++", _gradcam_plus_plus, rectified=True, needs="layer maps"),
    "layercam": MethodKind("Layer-CAM", _layercam, rectified=True, needs="layer maps"),
    "ig": MethodKind(
        "Integrated Gradients", _integrated_gradients, "change of the logit, per pixel", needs="gradients"
    ),
    "lime": MethodKind("LIME", _lime, "change of the probability", random=True),
    "occlusion": MethodKind("Occlusion", _occlusion, "change of the logit"),
}
DEFAULT_METHODS = ("gradcam", "ig", "lime")
MODEL_FREE_METHODS = tuple(name for name, kind in METHODS.items() if kind.needs == "predictions")
"""The methods that need predictions only; exported files are explained by these."""


def make_method(name: str, options: MethodOptions | None = None) -> Method:
    """The method with that name. Raises: InputError for an unknown name, or for options that the method refuses."""
    require_method(name)
    return METHODS[name].make(options or MethodOptions())


def require_method(name: str) -> None:
    """Raises: InputError if there is no method with that name."""
    if name not in METHODS:
        raise InputError(f"--method: {not_one_of(name, METHODS)}")


def title_of(name: str) -> str:
    """A method's name for readers; a method that is not in the table keeps its own name."""
    return METHODS[name].title if name in METHODS else name


def unit_of(name: str) -> str:
    """The unit of a method's maps; empty for a method without one."""
    return METHODS[name].unit if name in METHODS else ""


def is_rectified(name: str) -> bool:
    """Whether only values above 0 of a method's maps are shown."""
    return name in METHODS and METHODS[name].rectified


def is_random(name: str) -> bool:
    """Whether a method's map depends on its seed."""
    return name in METHODS and METHODS[name].random


def methods_that_need(*needs: Needs) -> str:
    """The names of the methods that need one of these, as in `ig, lime or occlusion`."""
    *names, last = [name for name, kind in METHODS.items() if kind.needs in needs]
    return f"{', '.join(names)} or {last}" if names else last
