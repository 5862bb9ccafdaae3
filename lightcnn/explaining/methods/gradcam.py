"""Grad-CAM and its kin: the maps of one layer, weighted by what the score's gradient says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.layer_choice import LEAST, MapLayer, choose, named, trace


@dataclass(frozen=True)
class GradCam:
    """Grad-CAM (arXiv:1610.02391), Grad-CAM++ (arXiv:1710.11063) and Layer-CAM (doi:10.1109/TIP.2021.3089943), signed.

    The papers cut off what is below 0; here that is left to the picture. Ours and not captum's, which cannot choose
    the layer in the run that it explains, and whose maps go wrong where a network writes into a layer's output.
    """

    layer: str | None = None
    variant: Literal["gradcam", "gradcam++", "layercam"] = "gradcam"

    @property
    def name(self) -> str:
        """As in `--method`."""
        return self.variant

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """The layer's map, brought to the size of the image bilinearly. Raises: InputError without such a layer."""
        layer, coarse, below = self._found(explained, inputs, target)
        fine = functional.interpolate(coarse[None, None], inputs.shape[2:], mode="bilinear", align_corners=False)
        return Attribution(
            self.name,
            fine[0, 0].cpu().numpy(),
            layer.name,
            {"kind": layer.kind, "size": [layer.height, layer.width], "depth": layer.depth},
            (*_notes(layer), *self._silent(layer, coarse), *self._unfit(layer, below)),
        )

    def _silent(self, layer: MapLayer, coarse: Tensor) -> list[str]:
        """What else may show something where nothing is above 0, as happens to maps of Swish, which have both signs."""
        if bool((coarse > 0).any()) or self.variant == "layercam":
            return []
        return [
            f"nothing at {layer.name} speaks for the class: layercam weighs each place by itself and may say more, as "
            "may another --layer"
        ]

    def _unfit(self, layer: MapLayer, below: bool) -> list[str]:
        """What is wrong with a layer that gives numbers below 0."""
        if not below or self.variant != "gradcam++":
            return []
        return [
            f"{layer.name} gives numbers below 0, which the weights of Grad-CAM++ are not made for: single places may "
            "stand out by chance"
        ]

    def coarse(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> tuple[MapLayer, Tensor]:
        """The layer, and its map (height, width) as large as it is there. Raises: InputError, LightcnnError."""
        layer, coarse, _ = self._found(explained, inputs, target)
        return layer, coarse

    def _found(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> tuple[MapLayer, Tensor, bool]:
        """The same, and whether the layer gives numbers below 0."""
        return explained.batch.attempt(lambda _: self._once(explained, inputs, target), 1)

    def _once(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> tuple[MapLayer, Tensor, bool]:
        run = trace(explained, inputs, target)
        layer = named(run.layers, self.layer) if self.layer else choose(run.layers)
        if not run.intact(layer):
            run = trace(explained, inputs, target, keep=layer.name)
        maps = run.maps[layer.name]
        (gradient,) = torch.autograd.grad(run.score, maps)
        coarse = _WEIGHED[self.variant](maps.detach()[0], gradient[0])
        return layer, coarse, bool((maps < 0).any())


def _gradcam(maps: Tensor, gradient: Tensor) -> Tensor:
    """Maps and gradients (C, h, w) to one map (h, w), as every function here."""
    return (gradient.mean(dim=(1, 2), keepdim=True) * maps).sum(dim=0)


def _gradcam_plus_plus(maps: Tensor, gradient: Tensor) -> Tensor:
    """Equations 11 and 19 of the paper, which means maps that are nowhere below 0, as after a ReLU.

    The package grad-cam adds 1e-6 to the denominator, which is more than the square of most networks' gradients.
    """
    below = 2 * gradient.square() + maps.sum(dim=(1, 2), keepdim=True) * gradient.pow(3)
    share = torch.where(below != 0, gradient.square() / torch.where(below != 0, below, 1), 0)
    return ((share * gradient.relu()).sum(dim=(1, 2), keepdim=True) * maps).sum(dim=0)


def _layercam(maps: Tensor, gradient: Tensor) -> Tensor:
    return (gradient.relu() * maps).sum(dim=0)


_WEIGHED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam": _gradcam,
    "gradcam++": _gradcam_plus_plus,
    "layercam": _layercam,
}


def _notes(layer: MapLayer) -> list[str]:
    notes = []
    if min(layer.height, layer.width) < LEAST:
        notes.append(f"the map of {layer.name} has {layer.height} × {layer.width} points: it shows nothing finer")
    if layer.depth < 0.5:
        notes.append(
            f"{1 - layer.depth:.0%} of the network's layers with weights come after {layer.name}: "
            "its map says little of what they make of it"
        )
    return notes
