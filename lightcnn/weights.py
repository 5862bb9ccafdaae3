"""The weights of a run as a file: written, and read back as untrusted input.

A safetensors file contains no code. Nothing large is allocated before the weights are known to fit the network.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from lightcnn.baseline_spec import AnySpec
from lightcnn.baselines import build_network
from lightcnn.cost import cost
from lightcnn.errors import RunError
from lightcnn.spec import NetworkSpec
from lightcnn.text import visible


def weights_file(model: nn.Module, spec: AnySpec, *, stand_in: bool) -> bytes:
    """The content of weights.safetensors: every tensor of the network, and the digest of its spec."""
    plain = save(
        {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in model.state_dict().items()
        }
    )
    end = 8 + int.from_bytes(plain[:8], "little")
    # safetensors writes metadata in a changing order, but equal weights must give equal files.
    metadata = {"spec": spec.digest(), "stand_in": str(stand_in).lower()}
    header = json.dumps({"__metadata__": metadata, **json.loads(plain[8:end])}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + plain[end:]


def read_network(path: Path, spec: AnySpec) -> nn.Module:
    """The network of a spec with the weights of a file. Raises: RunError if they do not fit the network exactly."""
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _require_plausible(path, spec, shapes, file.metadata() or {})
            _require_same(path, shapes, _network_shapes(spec))
            model = build_network(spec, seed=0, pretrained=False)
            weights = {name: file.get_tensor(name) for name in shapes}
    except SafetensorError as error:
        raise RunError(f"{path}: damaged, or no safetensors file ({visible(str(error))})") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from None
    for name, value in model.state_dict().items():
        if weights[name].dtype != value.dtype:
            raise RunError(f"{path}: {name} is {weights[name].dtype}, not {value.dtype}")
        if not torch.isfinite(weights[name]).all():
            raise RunError(f"{path}: {name} holds numbers that are not finite; the training diverged")
    model.load_state_dict(weights)
    return model


def _require_plausible(path: Path, spec: AnySpec, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> None:
    """Checks what is known before the network is built, because an untrusted spec may describe a huge network."""
    if metadata.get("spec", spec.digest()) != spec.digest():
        raise RunError(f"{path}: the weights of another network than spec.yaml has; restore the file of this run")
    if not isinstance(spec, NetworkSpec):
        return
    numbers, needed = sum(math.prod(shape) for shape in shapes.values()), cost(spec).params
    if needed > 2 * numbers + 1_000_000:
        raise RunError(f"{path}: holds {numbers:,} numbers, the network of spec.yaml has {needed:,} parameters")


def _network_shapes(spec: AnySpec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's tensors, without allocating them."""
    with torch.device("meta"):
        state = build_network(spec, seed=0, pretrained=False).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}


def _require_same(path: Path, shapes: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> None:
    """Raises: RunError if names or shapes differ."""
    for names, problem in (
        (sorted(expected.keys() - shapes.keys()), "lacks"),
        (sorted(shapes.keys() - expected.keys()), "has, and the network of spec.yaml has not,"),
    ):
        if names:
            raise RunError(f"{path}: {problem} {visible(names[0])}{f' and {len(names) - 1} more' if names[1:] else ''}")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise RunError(f"{path}: {name} has the shape {shapes[name]}, in the network of spec.yaml it is {shape}")
