"""Pretrained weights of a baseline, from a safetensors file or from timm, and the image statistics that they expect."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lightcnn.baseline_spec import conversion_command
from lightcnn.data.preprocess import read_preprocess
from lightcnn.errors import InputError
from lightcnn.text import first_line

MAX_LISTED = 3
"""Names of tensors that a message lists; the others are counted."""
WEIGHTS = "network.weights: timm"
"""Where a recipe asks for the weights of timm."""
USE_FILE = "set network.weights: FILE.safetensors, or use none"
"""What to do in a recipe if the weights of timm cannot be had."""
BATCH_COUNTER = "num_batches_tracked"
"""BatchNorm's counter of batches. Old files lack it, and it has no effect on outputs."""


@dataclass(frozen=True)
class Statistics:
    """Mean and deviation per channel (0 to 1) and the interpolation that weights were trained with, and the source."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    interpolation: str
    source: str


def load_file(backbone: nn.Module, file: str, left_out: tuple[str, ...]) -> str:
    """Loads a file with timm's keys, or the weights of a run of lightcnn. Returns what was loaded and left out.

    Tensors whose names start with one of `left_out` (those of a classifier) are not loaded. Raises: InputError if any
    other tensor is missing, unexpected, or of another shape. This is strict because the file of a deeper network of the
    same family contains all tensors of a shallower one.
    """
    if not Path(file).is_file():
        raise InputError(f"network.weights: {file}: no such file")
    try:
        with safe_open(file, framework="pt") as tensors:
            names, heads = _names(list(tensors.keys()))
            classifying = {key for key in names if key.startswith(left_out)}
            shapes = {key: tuple(tensors.get_slice(names[key]).get_shape()) for key in names.keys() - classifying}
            _require_all(shapes, backbone, left_out, file)
            state = {key: tensors.get_tensor(names[key]) for key in shapes}
    except (SafetensorError, OSError) as error:
        raise InputError(f"network.weights: {file}: not a readable safetensors file: {error}") from None
    _require_numbers(state, file)
    backbone.load_state_dict(state, strict=False)
    ignored = _format_names([*sorted(classifying), *heads])
    return f"{file}: {len(state)} tensors" + (f"; left out, because they classify: {ignored}" if ignored else "")


def statistics_of(weights: str, known: Any, channels: int) -> Statistics | None:
    """The statistics with which these weights expect images to be normalised; None without pretrained weights.

    They are those of the run whose weights they are, else those of timm for that network. Raises: InputError if the
    preprocess.json next to the weights cannot be read.
    """
    if weights == "none":
        return None
    run_file = Path(weights).with_name("preprocess.json")
    if weights != "timm" and run_file.is_file():
        preprocess = read_preprocess(run_file)
        mean, deviation = preprocess.mean, preprocess.deviation
        interpolation, source = "bilinear-antialiased", str(run_file)
    else:
        mean, deviation, interpolation = known.mean, known.std, known.interpolation
        source = f"timm:{known.architecture}.{known.tag or ''}".rstrip(".")
    return Statistics(_per_channel(mean, channels), _per_channel(deviation, channels), interpolation, source)


def fetch(known: Any, name: str, key: str = WEIGHTS, remedy: str = USE_FILE) -> dict[str, Any]:
    """The overrides of timm's configuration with which it loads the weights; empty if it downloads them itself.

    A cached file needs no internet connection. Without one, this fails at the first request, while the client of the
    hub would retry for a minute. Raises: InputError, which begins with `key`; `remedy` is how to use a local file.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    url = known.url
    if known.hf_hub_id:
        file = known.hf_hub_filename or "model.safetensors"
        cached = try_to_load_from_cache(known.hf_hub_id, file)
        if isinstance(cached, str) and not known.custom_load:
            return {"file": cached}
        url = f"{constants.ENDPOINT}/{known.hf_hub_id}/resolve/main/{file}"
    if not url:
        raise InputError(f"{key}: timm has no weights for {name}; {remedy}")
    if not known.hf_hub_id and (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file():
        return {}
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=15).close()
    except urllib.error.HTTPError:
        pass  # the server responds, and timm tries other file names
    except OSError as error:
        raise download_failed(name, url, error, key, remedy) from None
    return {}


def download_failed(name: str, url: str, error: Exception, key: str = WEIGHTS, remedy: str = USE_FILE) -> InputError:
    """The error that reports what was tried, and how to use a local file instead."""
    reason = getattr(error, "reason", None) or first_line(error)
    is_pickle = not url.endswith(".safetensors")
    convert = f", convert it with `{conversion_command(url.rpartition('/')[2])}`" if is_pickle else ""
    return InputError(
        f"{key}: the weights of {name} could not be downloaded from {url} ({reason}); download that file on another "
        f"machine{convert} and {remedy}"
    )


def _names(keys: list[str]) -> tuple[dict[str, str], list[str]]:
    """timm's key → key in the file, and the keys of the head of a run, which writes backbone.* and head.*."""
    backbones = [key for key in keys if key.startswith("backbone.")]
    heads = [key for key in keys if key.startswith("head.")]
    if not backbones or len(backbones) + len(heads) < len(keys):
        return {key: key for key in keys}, []
    return {key.removeprefix("backbone."): key for key in backbones}, heads


def _require_all(shapes: dict[str, tuple[int, ...]], backbone: nn.Module, left_out: tuple[str, ...], file: str) -> None:
    state = backbone.state_dict()
    expected = {key: tuple(tensor.shape) for key, tensor in state.items() if not key.startswith(left_out)}
    needed = [key for key in expected if not key.endswith(BATCH_COUNTER)]
    reasons = {
        "missing": [key for key in needed if key not in shapes],
        "unexpected": sorted(shapes.keys() - expected.keys()),
        "of another shape": [
            f"{key} {_format_shape(shapes[key])} instead of {_format_shape(expected[key])}"
            for key in expected
            if key in shapes and shapes[key] != expected[key]
        ],
    }
    if any(reasons.values()):
        details = ", ".join(f"{len(keys)} {reason} ({_format_names(keys)})" for reason, keys in reasons.items() if keys)
        raise InputError(f"network.weights: {file}: not this backbone of {len(needed)} tensors: {details}")


def _require_numbers(state: dict[str, Tensor], file: str) -> None:
    for key, tensor in state.items():
        if not key.endswith(BATCH_COUNTER) and not (tensor.is_floating_point() and torch.isfinite(tensor).all()):
            raise InputError(f"network.weights: {file}: {key} contains other values than finite floating-point numbers")


def _per_channel(values: Iterable[float], channels: int) -> tuple[float, ...]:
    """A value per channel; a greyscale image, which is repeated to three channels, has their mean."""
    values = tuple(values)
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def _format_names(names: Collection[str]) -> str:
    listed = ", ".join(list(names)[:MAX_LISTED])
    return f"{listed} and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else listed


def _format_shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"
