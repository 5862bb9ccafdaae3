"""Grad-CAM, Grad-CAM++ and Layer-CAM: the maps of one layer, weighted by the gradient of the score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.layer_choice import MIN_MAP_SIZE, MapLayer, choose_layer, find_layer, trace_layers

Variant = Literal["gradcam", "gradcam++", "layercam"]


@dataclass(frozen=True)
class GradCam:
    """Grad-CAM (arXiv:1610.02391), Grad-CAM++ (arXiv:1710.11063) and Layer-CAM (doi:10.1109/TIP.2021.3089943), signed.

    The papers cut off values below 0; here only the figures do. captum's implementation is not used: it cannot choose
    the layer in the run that it explains, and its maps are wrong if a network writes into a layer's output.
    """

    layer: str | None = None
    variant: Variant = "gradcam"

    @property
    def name(self) -> str:
        """The method's name, as in `--method`."""
        return self.variant

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """The layer's map, resized bilinearly to the image (1, C, H, W). Raises: InputError without such a layer."""
        layer, coarse, has_negative = self._compute(explained, inputs, target)
        fine = functional.interpolate(coarse[None, None], inputs.shape[2:], mode="bilinear", align_corners=False)
        return Attribution(
            self.name,
            fine[0, 0].cpu().numpy(),
            layer.name,
            {"kind": layer.kind, "size": [layer.height, layer.width], "depth": layer.depth},
            (*_layer_notes(layer), *self._empty_note(layer, coarse), *self._negative_note(layer, has_negative)),
        )

    def _empty_note(self, layer: MapLayer, coarse: Tensor) -> list[str]:
        """What may show more if no value is above 0, which happens after Swish, whose outputs have both signs."""
        if bool((coarse > 0).any()) or self.variant == "layercam":
            return []
        return [
            f"nothing at {layer.name} supports the class: layercam weights each position by itself and may show more, "
            "as may another --layer"
        ]

    def _negative_note(self, layer: MapLayer, has_negative: bool) -> list[str]:
        """A warning if Grad-CAM++ is applied to a layer with outputs below 0."""
        if not has_negative or self.variant != "gradcam++":
            return []
        return [
            f"{layer.name} has outputs below 0, for which the weights of Grad-CAM++ are not defined: single positions "
            "may dominate by chance"
        ]

    def coarse(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> tuple[MapLayer, Tensor]:
        """The layer, and its map (height, width) at the layer's resolution. Raises: InputError, LightcnnError."""
        layer, coarse, _ = self._compute(explained, inputs, target)
        return layer, coarse

    def _compute(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> tuple[MapLayer, Tensor, bool]:
        """The same as `coarse`, and whether the layer has outputs below 0."""
        return explained.batch.attempt(lambda _: self._compute_once(explained, inputs, target), 1)

    def _compute_once(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> tuple[MapLayer, Tensor, bool]:
        trace = trace_layers(explained, inputs, target)
        layer = find_layer(trace.layers, self.layer) if self.layer else choose_layer(trace.layers)
        if not trace.is_unchanged(layer):
            trace = trace_layers(explained, inputs, target, keep=layer.name)
        maps = trace.maps[layer.name]
        (gradient,) = torch.autograd.grad(trace.score, maps)
        coarse = _WEIGHTED_SUMS[self.variant](maps.detach()[0], gradient[0])
        return layer, coarse, bool((maps < 0).any())


def _gradcam(maps: Tensor, gradient: Tensor) -> Tensor:
    """One map (h, w) from the maps and gradients (C, h, w) of a layer, like the two functions below."""
    return (gradient.mean(dim=(1, 2), keepdim=True) * maps).sum(dim=0)


def _gradcam_plus_plus(maps: Tensor, gradient: Tensor) -> Tensor:
    """Equations 11 and 19 of the paper, which assume maps that are nowhere below 0, as after a ReLU.

    The package grad-cam adds 1e-6 to the denominator, which is more than the square of most networks' gradients.
    """
    denominator = 2 * gradient.square() + maps.sum(dim=(1, 2), keepdim=True) * gradient.pow(3)
    share = torch.where(denominator != 0, gradient.square() / torch.where(denominator != 0, denominator, 1), 0)
    return ((share * gradient.relu()).sum(dim=(1, 2), keepdim=True) * maps).sum(dim=0)


def _layercam(maps: Tensor, gradient: Tensor) -> Tensor:
    return (gradient.relu() * maps).sum(dim=0)


_WEIGHTED_SUMS: dict[Variant, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam": _gradcam,
    "gradcam++": _gradcam_plus_plus,
    "layercam": _layercam,
}


def _layer_notes(layer: MapLayer) -> list[str]:
    notes = []
    if min(layer.height, layer.width) < MIN_MAP_SIZE:
        notes.append(
            f"the map of {layer.name} has only {layer.height} × {layer.width} points and shows no finer detail"
        )
    if layer.depth < 0.5:
        notes.append(
            f"{1 - layer.depth:.0%} of the network's layers with weights come after {layer.name}: "
            "its map shows little of what they compute"
        )
    return notes
