"""Checks of an own module before its training: its outputs for noise, in both modes, and whether it can be counted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightcnn.counting.stages import network_cost, stages
from lightcnn.decisions import kind_by_values
from lightcnn.errors import InputError, LightcnnError
from lightcnn.module_spec import ModuleSpec
from lightcnn.own_module import build_module
from lightcnn.recipe import Recipe
from lightcnn.text import first_line


def require_module(recipe: Recipe, images: int, device: torch.device) -> None:
    """Checks the given module on the fewest images that a training on `images` images, and a prediction, use.

    Raises: InputError if the module cannot be the network of the recipe, or if none is given.
    """
    spec = recipe.network
    if not isinstance(spec, ModuleSpec):
        return
    model = _laid_out(spec, build_module(spec).to(device))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        noise = torch.randn(2, *spec.input).to(device, memory_format=torch.channels_last)
        fewest = images // -(-images // recipe.training.batch)
        for training, count in ((True, min(2, fewest)), (False, 2), (False, 1)):
            logits = _outputs(spec, model.train(training), noise[:count])
            _require_output(spec, logits, count)
            if training and not logits.requires_grad:
                raise InputError(
                    f"network={spec.module}: its outputs have no gradient; leave detach() and no_grad() out"
                )
    try:
        network_cost(spec, model)
        stages(spec, model)
    except LightcnnError as error:
        raise InputError(f"network={spec.module}: {error}") from error
    except Exception as error:  # whatever the code of a user raises
        raise InputError(
            f"network={spec.module}: its multiply-adds cannot be counted ({first_line(error)}); write a forward that "
            "does the same for every image"
        ) from error


def _laid_out(spec: ModuleSpec, model: nn.Module) -> nn.Module:
    """The module with its weights in the layout of trainings, channels_last. Raises: InputError if one has none."""
    try:
        return model.to(memory_format=torch.channels_last)
    except RuntimeError as error:
        raise InputError(
            f"network={spec.module}: its weights cannot be channels_last ({first_line(error)}); use layers of images"
        ) from error


def _outputs(spec: ModuleSpec, model: nn.Module, images: Tensor) -> Any:
    """What the module returns for images (N, C, H, W). Raises: InputError if it raises an error."""
    try:
        with torch.set_grad_enabled(model.training):
            return model(images)
    except Exception as error:  # whatever the code of a user raises
        mode = "training" if model.training else "eval"
        remedy = "it must take float32 images of the recipe's network.input and the channels of the data"
        if len(images) == 1:
            remedy = "--set training.batch=4" if model.training else "use norms with running statistics"
        if "view size" in str(error):
            remedy = "images are channels_last, so write flatten or reshape in place of view"
        raise InputError(
            f"network={spec.module}: fails on images {tuple(images.shape)} in {mode} mode "
            f"({first_line(error)}); {remedy}"
        ) from error


def _require_output(spec: ModuleSpec, logits: Any, count: int) -> None:
    """Raises: InputError if the outputs for `count` images are not logits, finite, one per class."""
    name = f"network={spec.module}"
    if not isinstance(logits, Tensor):
        raise InputError(
            f"{name}: returns {type(logits).__name__}; return the logits only, a tensor (N, {spec.classes})"
        )
    widths = (1, 2) if spec.classes == 2 else (spec.classes,)
    if logits.ndim != 2 or len(logits) != count or logits.shape[1] not in widths:
        raise InputError(
            f"{name}: returns {tuple(logits.shape)} for {count} images of {spec.classes} classes; "
            f"return logits ({count}, {spec.classes})"
        )
    if not logits.is_floating_point() or not torch.isfinite(logits).all():
        raise InputError(f"{name}: returns numbers that are not finite floats for noise; check its weights")
    if logits.shape[1] > 1 and kind_by_values(logits.detach().double().cpu().numpy()) == "probabilities":
        raise InputError(f"{name}: returns probabilities; return logits, without the softmax")
