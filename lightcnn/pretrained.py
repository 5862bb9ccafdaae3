"""Weights for a baseline: from a safetensors file by hand, or where timm finds them; and the statistics they expect."""

from __future__ import annotations

import json
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
from lightcnn.errors import InputError
from lightcnn.text import first_line

SHOWN = 3
"""Names of tensors that an error tells; the others are counted."""
COUNTER = "num_batches_tracked"
"""BatchNorm's count of batches: not in files from before it existed, and of no effect on outputs."""


@dataclass(frozen=True)
class Statistics:
    """Mean and deviation per channel (0..1) that weights were trained with, timm's interpolation, and who says so."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    interpolation: str
    source: str


def load_file(backbone: nn.Module, file: str, left_out: tuple[str, ...]) -> str:
    """Loads a file with timm's own keys, or the weights of a run of lightcnn, and says what was loaded and left out.

    Tensors whose names begin as in `left_out` (a classifier's) are not loaded. Raises: InputError where any other
    tensor is missing, is not the backbone's, or has another shape: a part of a backbone is none, and a deeper network
    of the same family holds all tensors of a shallower one.
    """
    if not Path(file).is_file():
        raise InputError(f"network.weights: {file}: no such file")
    try:
        with safe_open(file, framework="pt") as held:
            names, heads = _names(list(held.keys()))
            classifying = {key for key in names if key.startswith(left_out)}
            shapes = {key: tuple(held.get_slice(names[key]).get_shape()) for key in names.keys() - classifying}
            _require_all(shapes, backbone, left_out, file)
            state = {key: held.get_tensor(names[key]) for key in shapes}
    except (SafetensorError, OSError) as error:
        raise InputError(f"network.weights: {file}: not a readable safetensors file: {error}") from None
    _require_numbers(state, file)
    backbone.load_state_dict(state, strict=False)
    said = _some([*sorted(classifying), *heads])
    return f"{file}: {len(state)} tensors" + (f"; left out, for they classify: {said}" if said else "")


def statistics_of(weights: str, known: Any, channels: int) -> Statistics | None:
    """What images are to be normalised with for these weights: a run's own, else timm's for that network.

    None without pretrained weights. Raises: InputError where a run's file beside the weights cannot be read.
    """
    if weights == "none":
        return None
    beside = Path(weights).with_name("preprocess.json")
    if weights != "timm" and beside.is_file():
        mean, deviation, said = *_of_run(beside), ("bilinear-antialiased", str(beside))
    else:
        mean, deviation, said = (
            known.mean,
            known.std,
            (known.interpolation, f"timm:{known.architecture}.{known.tag or ''}".rstrip(".")),
        )
    return Statistics(_per_channel(mean, channels), _per_channel(deviation, channels), *said)


def fetch(known: Any, name: str) -> dict[str, Any]:
    """Where timm is to load the weights from: what it is told to override, nothing where it will fetch them itself.

    A file in the cache needs no network. Without one this asks once, where the hub's own client goes on for a minute.
    Raises: InputError with how to give a file by hand.
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
        raise InputError(f"network.weights: timm has no weights for {name}; use none, or a .safetensors file")
    if not known.hf_hub_id and (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file():
        return {}
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=15).close()
    except urllib.error.HTTPError:
        pass  # there is a network: timm knows further names of files
    except OSError as error:
        raise unfetched(name, url, error) from None
    return {}


def unfetched(name: str, url: str, error: Exception) -> InputError:
    """The error that says what was tried and how to go on without a network."""
    reason = getattr(error, "reason", None) or first_line(error)
    safe = url.endswith(".safetensors")
    convert = "" if safe else f", convert it with `{conversion_command(url.rpartition('/')[2])}`"
    return InputError(
        f"network.weights: timm: the weights of {name} could not be fetched from {url} ({reason}); fetch that file "
        f"where there is a network{convert} and give it as network.weights: FILE.safetensors, or use none"
    )


def _names(keys: list[str]) -> tuple[dict[str, str], list[str]]:
    """timm's key → key in the file, and the keys of a run's own head: a run writes backbone.* and head.*."""
    own = [key for key in keys if key.startswith("backbone.")]
    heads = [key for key in keys if key.startswith("head.")]
    if not own or len(own) + len(heads) < len(keys):
        return {key: key for key in keys}, []
    return {key.removeprefix("backbone."): key for key in own}, heads


def _require_all(shapes: dict[str, tuple[int, ...]], backbone: nn.Module, left_out: tuple[str, ...], file: str) -> None:
    state = backbone.state_dict()
    wanted = {key: tuple(tensor.shape) for key, tensor in state.items() if not key.startswith(left_out)}
    needed = [key for key in wanted if not key.endswith(COUNTER)]
    reasons = {
        "missing": [key for key in needed if key not in shapes],
        "unexpected": sorted(shapes.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {_by(shapes[key])} instead of {_by(wanted[key])}"
            for key in wanted
            if key in shapes and shapes[key] != wanted[key]
        ],
    }
    if any(reasons.values()):
        told = ", ".join(f"{len(keys)} {reason} ({_some(keys)})" for reason, keys in reasons.items() if keys)
        raise InputError(f"network.weights: {file}: not this backbone of {len(needed)} tensors: {told}")


def _require_numbers(state: dict[str, Tensor], file: str) -> None:
    for key, tensor in state.items():
        if not key.endswith(COUNTER) and not (tensor.is_floating_point() and torch.isfinite(tensor).all()):
            raise InputError(f"network.weights: {file}: {key} holds other than finite floating-point numbers")


def _of_run(file: Path) -> tuple[list[float], list[float]]:
    try:
        rule = json.loads(file.read_text(encoding="utf-8"))
        return [float(value) for value in rule["mean"]], [float(value) for value in rule["deviation"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: beside the weights, but without mean and deviation ({error!r})") from None


def _per_channel(values: Iterable[float], channels: int) -> tuple[float, ...]:
    """As many as there are channels: a grey image, which is repeated to three, takes the mean of them."""
    values = tuple(values)
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"
