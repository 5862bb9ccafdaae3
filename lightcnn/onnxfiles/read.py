"""An ONNX file, hostile until it is read: a graph with the shape of every tensor, for one image.

Refused are files that are too large or damaged, data that lie outside of the file's folder, control flow, and whatever
does not take one batch of images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError, LightcnnError
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.text import first_line

MAX_BYTES = 2_000_000_000
"""Bytes of a file with its data, and of any tensor: what protobuf, the format below, can hold."""
KNOWN_DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Domains whose operators are known by name: ONNX's own and ONNX Runtime's."""
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor: its shape, and bytes an element."""

    shape: tuple[int, ...]
    itemsize: int

    @property
    def elements(self) -> int:
        """How many it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Node:
    """An operator under a name of its own; an input that is left out is '', an output is not there."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Graph:
    """A file as it is for one image of `input` (C, H, W): `values` are all tensors, `stored` the names of its own.

    `data` is the whole file in memory, `file_bytes` what lies on the disk. `free`: it takes any number of images.
    """

    image: str
    input: Shape
    kind: np.dtype[Any]
    free: bool
    nodes: tuple[Node, ...]
    values: Mapping[str, TensorInfo]
    stored: frozenset[str]
    outputs: tuple[str, ...]
    file_bytes: int
    data: bytes = field(repr=False)

    def images(self, count: int = 1) -> NDArray[Any]:
        """Images of noise (N, C, H, W), of the type that it takes."""
        return np.random.default_rng(0).random((count, *self.input)).astype(self.kind)


def read_graph(path: Path, input: Shape | None = None) -> Graph:
    """The graph of a file, for its own input size, or for `input` (C, H, W) where the file leaves that free.

    Raises: InputError, one line that begins with the path.
    """
    try:
        proto, size = _parsed(path)
        return _graph(proto, input, size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except LightcnnError as error:
        raise InputError(f"{path}: {error}") from None


def _parsed(path: Path) -> tuple[Any, int]:
    """The checked model with its data in it, and the bytes it takes on disk. Raises: InputError, OSError."""
    import onnx
    from onnx.inliner import inline_local_functions

    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
        size += _require_inside(proto, path.parent)
        onnx.load_external_data_for_model(proto, str(path.parent))
        onnx.checker.check_model(proto)
        return inline_local_functions(proto), size
    except (LightcnnError, OSError):
        raise
    except Exception as error:  # what protobuf and the checker raise has no common base
        raise InputError(f"damaged, or no ONNX file: {first_line(error)}") from None


def _require_inside(proto: Any, folder: Path) -> int:
    """Bytes of the files beside this one that hold its tensors. Raises: InputError where one lies elsewhere."""
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    files: set[Path] = set()
    read_graph = 0
    for tensor in _get_all_tensors(proto):
        if not uses_external_data(tensor):
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        file = (folder / place.get("location", "")).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise InputError(
                f"keeps tensor {tensor.name!r} in {place.get('location', '')!r}, which is no file of its folder"
            )
        files.add(file)
        read_graph += int(place["length"]) if place.get("length", "").isdigit() else file.stat().st_size
        if read_graph > MAX_BYTES:
            raise InputError(f"more than {MAX_BYTES:,} bytes of tensors beside it; at most so many are read")
    return sum(file.stat().st_size for file in files)


def _graph(proto: Any, input: Shape | None, size: int) -> Graph:
    image = _image(proto)
    dims = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    shape = _size(dims, input)
    whole = proto.SerializeToString()
    values = _values(proto, image, shape)
    stored = {one.name for one in proto.graph.initializer} | {
        node.output[0] for node in proto.graph.node if node.op_type == "Constant"
    }
    return Graph(
        image=image.name, input=shape, kind=_dtype(image.type.tensor_type.elem_type), free=dims[0] == 0,
        nodes=tuple(_nodes(proto)), values=values, stored=frozenset(stored),
        outputs=tuple(one.name for one in proto.graph.output), file_bytes=size, data=whole,
    )  # fmt: skip


def _image(proto: Any) -> Any:
    """The one thing that goes in. Raises: InputError where that is no batch of images."""
    own = {one.name for one in proto.graph.initializer}
    given = [one for one in proto.graph.input if one.name not in own]
    if len(given) != 1:
        names = ", ".join(one.name for one in given)
        raise InputError(f"takes {len(given)} inputs ({names}); only networks of one image are profiled")
    kind = given[0].type.tensor_type
    if len(kind.shape.dim) != 4 or not kind.elem_type or _dtype(kind.elem_type).kind not in "fiu":
        raise InputError(f"its input {given[0].name!r} is no batch of images (N, C, H, W)")
    return given[0]


def _size(dims: list[int], input: Shape | None) -> Shape:
    """Of one image: the file's own, and `input` where that leaves it free. Raises: InputError."""
    batch, *sides = dims
    if batch > 1:
        raise InputError(f"takes {batch} images at once; write it with a batch of 1, or a free one")
    if input is None and not all(sides):
        raise InputError("leaves its input size free; give one with --input CxHxW")
    found = input or (sides[0], sides[1], sides[2])
    if any(own not in (0, wanted) for own, wanted in zip(sides, found, strict=True)):
        raise InputError(
            f"--input {'x'.join(map(str, found))}: it takes images of {'×'.join(str(side or '?') for side in sides)}"
        )
    return found


def _nodes(proto: Any) -> Iterator[Node]:
    """The operators in order, each under a name of its own. Raises: InputError for control flow."""
    import onnx

    names: set[str] = set()
    for place, node in enumerate(proto.graph.node):
        if any(one.HasField("g") or one.graphs for one in node.attribute):
            raise InputError(f"{node.op_type} {node.name!r} chooses what is computed; it has no one count")
        name = node.name if node.name and node.name not in names else f"{node.op_type}_{place}"
        names.add(name)
        made = tuple(name for name in node.output if name)
        if not made:
            raise InputError(f"{node.op_type} {name!r} gives nothing")
        operator = node.op_type if node.domain in KNOWN_DOMAINS else f"{node.domain}.{node.op_type}"
        attributes = {
            one.name: onnx.helper.get_attribute_value(one) for one in node.attribute if one.type != one.TENSOR
        }
        yield Node(name, operator, tuple(node.input), made, attributes)


def _values(proto: Any, image: Any, shape: Shape) -> dict[str, TensorInfo]:
    """Shape and type of every tensor for one image: as ONNX infers them, else as they come out when it is run."""
    sized = _sized(proto, image.name, shape)
    found = {one.name: TensorInfo(tuple(one.dims), _dtype(one.data_type).itemsize) for one in sized.graph.initializer}
    for one in _inferred(sized, shape):
        kind = one.type.tensor_type
        dims = kind.shape.dim
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found.setdefault(
                one.name, TensorInfo(tuple(dim.dim_value for dim in dims), _dtype(kind.elem_type).itemsize)
            )
    missing = [name for node in sized.graph.node for name in node.output if name and name not in found]
    found |= _run(sized, missing, shape, _dtype(image.type.tensor_type.elem_type)) if missing else {}
    _require_small(found)
    return found


def _sized(proto: Any, image: str, shape: Shape) -> Any:
    """A copy for one image of this shape, without what the file says of the shapes behind it."""
    import onnx

    sized = onnx.ModelProto()
    sized.CopyFrom(proto)
    taken = next(one for one in sized.graph.input if one.name == image)
    for dim, side in zip(taken.type.tensor_type.shape.dim, (1, *shape), strict=True):
        dim.dim_value = side  # a name for any size goes with it
    del sized.graph.value_info[:]
    for one in sized.graph.output:
        one.type.tensor_type.ClearField("shape")
    return sized


def _inferred(sized: Any, shape: Shape) -> Iterator[Any]:
    """Inputs, inner tensors and outputs, with the shapes that ONNX infers. Raises: InputError where they do not fit."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    except Exception as error:  # what it raises has no common base
        size = "×".join(map(str, shape))
        raise InputError(f"its shapes do not fit an image of {size}: {first_line(error)}") from None
    yield from (*graph.input, *graph.value_info, *graph.output)


def _run(sized: Any, missing: list[str], shape: Shape, kind: np.dtype[Any]) -> dict[str, TensorInfo]:
    """The tensors of which only a run tells the shape."""
    import onnx

    probe = onnx.ModelProto()
    probe.CopyFrom(sized)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing)
    told = session_outputs(open_session(probe.SerializeToString(), 1), np.zeros((1, *shape), kind))
    if not all(isinstance(one, np.ndarray) for one in told):
        raise InputError("holds sequences; only networks of tensors are profiled")
    return {name: TensorInfo(one.shape, one.itemsize) for name, one in zip(missing, told, strict=True)}


def _require_small(values: Mapping[str, TensorInfo]) -> None:
    """Raises: InputError for a tensor that no network for images has."""
    for name, value in values.items():
        if value.elements * value.itemsize > MAX_BYTES:
            raise InputError(f"tensor {name!r} of {value.elements:,} elements; at most {MAX_BYTES:,} bytes are held")


def _dtype(kind: int) -> np.dtype[Any]:
    """numpy's type of an ONNX one. Raises: InputError."""
    import onnx

    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except KeyError:
        raise InputError(f"holds tensors of type {kind}, which ONNX does not have") from None
