"""Reads an ONNX file, which is untrusted, as a graph with the shape of every tensor for one image.

Files are refused if they are too large or damaged, keep data outside of their folder, have control flow, or do not take
exactly one batch of images.
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
from lightcnn.exported_metadata import METADATA_KEY, ExportedMetadata, read_metadata
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.text import first_line

MAX_BYTES = 2_000_000_000
"""Maximum bytes of a file with its data, and of any tensor: what protobuf can hold."""
MAX_EXPANSION = 100_000_000
"""Maximum bytes that a file gains when its local functions are expanded."""
KNOWN_DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Domains whose operators are known by name: those of ONNX and of ONNX Runtime."""
AMBIGUOUS = ("Attention", "CausalConvWithState", "LinearAttention")
"""Operators of ONNX whose names mean something else in ONNX Runtime; those are named with their domain."""
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class TensorInfo:
    """The shape of a tensor, and its bytes per element."""

    shape: tuple[int, ...]
    itemsize: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Node:
    """An operator under a unique name; an omitted input is '', an omitted output is not in the list."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Graph:
    """A file for one image of `input` (C, H, W): `values` are all tensors by name, `stored` the names of stored ones.

    `image` is the name of the input and `kind` its type; `free` means that it takes any number of images at once.
    `metadata` are those of a file that lightcnn exported, which takes images (N, H, W, C); None for others. `data` is
    the file in memory with its tensors, `file_bytes` their size on disk.
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
    metadata: ExportedMetadata | None
    data: bytes = field(repr=False)

    def images(self, count: int = 1) -> NDArray[Any]:
        """Images of noise, of the type and in the order of axes that the file takes."""
        shape = _as_stored(self.input, self.metadata is not None)
        noise = np.random.default_rng(0).random((count, *shape))
        return (noise if self.kind.kind == "f" else 255 * noise).astype(self.kind)


def read_graph(path: Path, input: Shape | None = None) -> Graph:
    """The graph of a file, for its own input size, or for `input` (C, H, W) if the file leaves its size free.

    A file that lightcnn exported has the size of its network. Raises: InputError, one line that begins with the path.
    """
    try:
        proto, size = _parse(path)
        properties = {entry.key: entry.value for entry in proto.metadata_props}
        metadata = read_metadata(properties, str(path)) if METADATA_KEY in properties else None
        return _graph(proto, input, size, metadata)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except LightcnnError as error:
        raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _parse(path: Path) -> tuple[Any, int]:
    """The checked model with its tensors loaded, and its bytes on disk. Raises: InputError, OSError."""
    import onnx
    from onnx.inliner import inline_local_functions

    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"has {size:,} bytes, at most {MAX_BYTES:,} are read")
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
        size += _require_inside(proto, path.parent)
        onnx.load_external_data_for_model(proto, str(path.parent))
        onnx.checker.check_model(proto)
        _require_straight(proto)
        return inline_local_functions(proto) if proto.functions else proto, size
    except (LightcnnError, OSError):
        raise
    except Exception as error:  # the errors of protobuf and the checker have no common base
        raise InputError(f"is damaged, or not an ONNX file: {first_line(error)}") from None


def _require_straight(proto: Any) -> None:
    """Checks that the model is one list of operators, and stays small if its local functions are expanded.

    Raises: InputError for control flow, before anything is expanded or run, and for functions that expand to too much.
    """
    functions = {_key(function, function.name): function.node for function in proto.functions}
    sizes: dict[tuple[str, str, str], int] = {}

    def size(nodes: Any) -> int:
        total = 0
        for node in nodes:
            if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
                raise InputError(
                    f"has {node.op_type} {node.name!r}, which chooses what is computed, so its cost is not one number"
                )
            total += node.ByteSize() + of_function(_key(node, node.op_type))
        return total

    def of_function(key: tuple[str, str, str]) -> int:
        if key in functions and key not in sizes:
            sizes[key] = MAX_BYTES  # if it calls itself
            sizes[key] = size(functions[key])
        return sizes.get(key, 0)

    if size(proto.graph.node) > proto.ByteSize() + MAX_EXPANSION:
        raise InputError(
            f"has local functions that expand to more than {MAX_EXPANSION:,} bytes of operators; export it without them"
        )


def _key(item: Any, name: str) -> tuple[str, str, str]:
    """What a node and the local function that it calls have in common."""
    return "" if item.domain == "ai.onnx" else item.domain, name, getattr(item, "overload", "")


def _require_inside(proto: Any, folder: Path) -> int:
    """Bytes of the files in `folder` that hold tensors of the model.

    Raises: InputError if such a file is missing or outside of the folder, or if they are too large.
    """
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    files: set[Path] = set()
    total = 0
    for tensor in _get_all_tensors(proto):
        if not uses_external_data(tensor):
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = (folder / entries.get("location", "")).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise InputError(
                f"keeps tensor {tensor.name!r} in {entries.get('location', '')!r}, which is not a file in its folder"
            )
        files.add(file)
        total += int(entries["length"]) if entries.get("length", "").isdigit() else file.stat().st_size
        if total > MAX_BYTES:
            raise InputError(f"has more than {MAX_BYTES:,} bytes of tensors in other files, at most so many are read")
    return sum(file.stat().st_size for file in files)


def _graph(proto: Any, input: Shape | None, size: int, metadata: ExportedMetadata | None) -> Graph:
    image = _image(proto)
    dims = [max(0, dim.dim_value) for dim in image.type.tensor_type.shape.dim]  # some exporters write -1 for a free one
    if metadata is not None:
        dims = [dims[0], dims[3], dims[1], dims[2]]
        input = input or (metadata.channels, metadata.size, metadata.size)
    shape = _input_size(dims, input)
    data = proto.SerializeToString()
    values = _values(proto, image, _as_stored(shape, metadata is not None))
    stored = {tensor.name for tensor in proto.graph.initializer} | {
        node.output[0] for node in proto.graph.node if node.op_type == "Constant"
    }
    return Graph(
        image=image.name, input=shape, kind=_dtype(image.type.tensor_type.elem_type), free=dims[0] == 0,
        nodes=tuple(_nodes(proto)), values=values, stored=frozenset(stored),
        outputs=tuple(output.name for output in proto.graph.output), file_bytes=size,
        metadata=metadata, data=data,
    )  # fmt: skip


def _as_stored(shape: Shape, channels_last: bool) -> Shape:
    """The axes of an image (C, H, W) in the order that a file takes."""
    return (shape[1], shape[2], shape[0]) if channels_last else shape


def _image(proto: Any) -> Any:
    """The only input of the model. Raises: InputError if it has several, or if that is not a batch of images."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise InputError(f"takes {len(inputs)} inputs ({names}); only networks with one input can be profiled")
    kind = inputs[0].type.tensor_type
    if len(kind.shape.dim) != 4 or not kind.elem_type or _dtype(kind.elem_type).kind not in "fiu":
        raise InputError(f"has an input {inputs[0].name!r} that is not a batch of images (N, C, H, W)")
    return inputs[0]


def _input_size(dims: list[int], input: Shape | None) -> Shape:
    """The size (C, H, W) of an image: the file's own, or `input` if that is free. Raises: InputError."""
    batch, *sides = dims
    if batch > 1:
        raise InputError(f"takes {batch} images at once; export it with a batch size of 1, or a free one")
    if input is None and not all(sides):
        raise InputError("leaves its input size free; give one with --input CxHxW")
    shape = input or (sides[0], sides[1], sides[2])
    if any(fixed not in (0, side) for fixed, side in zip(sides, shape, strict=True)):
        raise InputError(
            f"--input {'x'.join(map(str, shape))}: it takes images of {'×'.join(str(side or '?') for side in sides)}"
        )
    return shape


def _nodes(proto: Any) -> Iterator[Node]:
    """The operators in order, each under a unique name. Raises: InputError for one without an output."""
    import onnx

    names: set[str] = set()
    for place, node in enumerate(proto.graph.node):
        name = node.name if node.name and node.name not in names else f"{node.op_type}_{place}"
        names.add(name)
        outputs = tuple(output for output in node.output if output)
        if not outputs:
            raise InputError(f"has {node.op_type} {name!r} without an output")
        known = node.domain in KNOWN_DOMAINS and not (node.domain == KNOWN_DOMAINS[-1] and node.op_type in AMBIGUOUS)
        operator = node.op_type if known else f"{node.domain}.{node.op_type}"
        attributes = {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
            if attribute.type != attribute.TENSOR
        }
        yield Node(name, operator, tuple(node.input), outputs, attributes)


def _values(proto: Any, image: Any, shape: Shape) -> dict[str, TensorInfo]:
    """Shape and type of every tensor for one image: inferred by ONNX, or measured in a run if that is not enough."""
    sized = _with_input_size(proto, image.name, shape)
    values = {
        tensor.name: TensorInfo(tuple(tensor.dims), _dtype(tensor.data_type).itemsize)
        for tensor in sized.graph.initializer
    }
    for value in _inferred(sized, shape):
        kind = value.type.tensor_type
        dims = kind.shape.dim
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            size = tuple(dim.dim_value for dim in dims)
            values.setdefault(value.name, TensorInfo(size, _dtype(kind.elem_type).itemsize))
    missing = [name for node in sized.graph.node for name in node.output if name and name not in values]
    values |= _measured(sized, missing, shape, _dtype(image.type.tensor_type.elem_type)) if missing else {}
    _require_small(values)
    return values


def _with_input_size(proto: Any, image: str, shape: Shape) -> Any:
    """A copy for one image of this shape, without what the file states about the shapes that follow from it."""
    import onnx

    sized = onnx.ModelProto()
    sized.CopyFrom(proto)
    value = next(value for value in sized.graph.input if value.name == image)
    for dim, side in zip(value.type.tensor_type.shape.dim, (1, *shape), strict=True):
        dim.dim_value = side  # this removes the name of a free dimension
    del sized.graph.value_info[:]
    for output in sized.graph.output:
        output.type.tensor_type.ClearField("shape")
    return sized


def _inferred(sized: Any, shape: Shape) -> Iterator[Any]:
    """Inputs, inner tensors and outputs with the shapes that ONNX infers. Raises: InputError if shapes do not fit."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    except Exception as error:  # the errors of shape inference have no common base
        size = "×".join(map(str, shape))
        raise InputError(f"has shapes that do not fit an image of {size}: {first_line(error)}") from None
    yield from (*graph.input, *graph.value_info, *graph.output)


def _measured(sized: Any, missing: list[str], shape: Shape, kind: np.dtype[Any]) -> dict[str, TensorInfo]:
    """The tensors whose shapes only a run can show. Raises: InputError if they depend on the values of the image."""
    import onnx

    probe = onnx.ModelProto()
    probe.CopyFrom(sized)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing)
    session, random = open_session(probe.SerializeToString(), 1), np.random.default_rng(0)
    images = np.zeros((1, *shape)), random.random((1, *shape)), random.normal(0, 100, (1, *shape))
    runs = [session_outputs(session, image.astype(kind)) for image in images]
    if not all(isinstance(output, np.ndarray) for outputs in runs for output in outputs):
        raise InputError("holds sequences; only networks of tensors can be profiled")
    for name, *outputs in zip(missing, *runs, strict=True):
        if len({output.shape for output in outputs}) > 1:
            raise InputError(
                f"has a tensor {name!r} whose size depends on the values in its image, so its cost is not one number"
            )
    return {name: TensorInfo(output.shape, output.itemsize) for name, output in zip(missing, runs[0], strict=True)}


def _require_small(values: Mapping[str, TensorInfo]) -> None:
    """Raises: InputError for a tensor that is larger than in any network for images."""
    for name, value in values.items():
        if value.elements * value.itemsize > MAX_BYTES:
            raise InputError(f"has a tensor {name!r} of {value.elements:,} elements; at most {MAX_BYTES:,} bytes fit")


def _dtype(kind: int) -> np.dtype[Any]:
    """The numpy type of an ONNX type. Raises: InputError."""
    import onnx

    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except KeyError:
        raise InputError(f"holds tensors of type {kind}, which ONNX does not have") from None
