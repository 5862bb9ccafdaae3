"""The methods by the names that `--method` has for them."""

from __future__ import annotations

from dataclasses import dataclass

from lightcnn.errors import InputError
from lightcnn.explaining.methods.attribution import Method
from lightcnn.text import nearest

NAMES = ("gradcam", "gradcam++", "layercam", "ig", "lime", "occlusion")


@dataclass(frozen=True)
class MethodOptions:
    """What the command line says of methods: `layer` goes to Grad-CAM and its kin, `baseline` and `smooth` to
    Integrated Gradients, `samples` and `segments` to LIME, the seed to all that draw.
    """

    layer: str | None = None
    baseline: str = "black"
    smooth: int = 0
    samples: int = 1000
    segments: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises: InputError for a seed below 0."""
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: a whole number from 0 on")


def method(name: str, options: MethodOptions | None = None) -> Method:
    """The method of that name. Raises: InputError for another name, or for options that it cannot have."""
    options = options or MethodOptions()
    match name:
        case "gradcam" | "gradcam++" | "layercam":
            from lightcnn.explaining.methods.gradcam import GradCam

            return GradCam(options.layer, name)
        case "ig":
            from lightcnn.explaining.methods.integrated_gradients import IntegratedGradients

            return IntegratedGradients(options.baseline, options.smooth, seed=options.seed)
        case "lime":
            from lightcnn.explaining.methods.lime import Lime

            return Lime(samples=options.samples, segments=options.segments, seed=options.seed)
        case "occlusion":
            from lightcnn.explaining.methods.occlusion import Occlusion

            return Occlusion()
    raise InputError(f"--method {name}: there is no such method{nearest(name, NAMES)}; known: {', '.join(NAMES)}")
