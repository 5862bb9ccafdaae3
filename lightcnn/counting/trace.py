"""One inference of any network that records each operator: its module, multiply-adds, and what it reads and writes.

It runs on a copy without values (torch's meta device), or on a copy with values and an image of zeros if a model needs
them. Convolutions and matrix products are counted however they are called; one FLOP is one multiply-add.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightcnn.counting.copies import meta_copy, value_copy, zero_image
from lightcnn.errors import InputError
from lightcnn.spec import Shape
from lightcnn.text import first_line

VALUE_READERS = ("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_consecutive")
"""Operators that make values of a tensor known to Python, or a shape dependent on them."""
NORMS = (
    "native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "cudnn_batch_norm",
    "miopen_batch_norm", "native_layer_norm", "native_group_norm",
)  # fmt: skip
BATCH_NORMS = tuple(name for name in NORMS if "batch" in name)
COPY_OPERATORS = ("clone", "_to_copy", "copy_")
UNTAGGED_ACTIVATIONS = ("hardswish", "hardsigmoid", "mish", "elu", "leaky_relu", "softplus", "_prelu_kernel")
"""Activations of which torch does not mark all as pointwise."""


@dataclass(frozen=True)
class Call:
    """One operator that ran in the module named `module`.

    `reads` and `writes` are indices into `Trace.buffers`, `weights` the names of the network's tensors that it read.
    `macs` is None for operators that are not counted. `fusable` marks a norm or an activation of one tensor, `view` an
    operator that computes nothing. `shape` is the shape of the output for one image.
    """

    module: str
    operator: str
    macs: int | None
    shape: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    weights: tuple[str, ...]
    fusable: bool
    view: bool


@dataclass(frozen=True)
class Trace:
    """All calls of one inference; `buffers` are (elements, bytes) of each activation, the image first."""

    calls: tuple[Call, ...]
    buffers: tuple[tuple[int, int], ...]
    outputs: frozenset[int]

    @property
    def macs(self) -> int:
        """Multiply-adds of all calls."""
        return sum(call.macs or 0 for call in self.calls)

    @property
    def operators(self) -> Counter[str]:
        """Multiply-adds per counted operator."""
        macs: Counter[str] = Counter()
        for call in self.calls:
            if call.macs is not None:
                macs[call.operator] += call.macs
        return macs

    @property
    def uncounted(self) -> Counter[str]:
        """Calls per operator that computes something from an activation and is not counted."""
        return Counter(call.operator for call in self.calls if call.macs is None and call.reads and not call.view)


class DataDependentError(InputError):
    """The network does not do the same with every image, so its cost is not one number."""


def trace(model: nn.Module, shape: Shape, *, batch: int = 1) -> Trace:
    """Traces one inference of images of `shape` (C, H, W) in eval mode, on a copy; with values if it fails without.

    Raises: InputError if the network cannot take the images, or if what it computes depends on their values.
    """
    for copy_model in (meta_copy, value_copy):
        try:
            return _trace(copy_model, model, shape, batch)
        except DataDependentError:
            raise
        except Exception as error:  # any model may raise anything, also because its copy has no values
            failure = error
    size, reason = "×".join(map(str, shape)), first_line(failure)
    raise InputError(f"cannot take an image of {size}: {type(failure).__name__}: {reason}") from failure


def _trace(copy_model: Callable[[nn.Module], nn.Module], model: nn.Module, shape: Shape, batch: int) -> Trace:
    subject = copy_model(model)
    image = zero_image(subject, shape, batch)
    recorder = _Recorder(subject, image)
    with torch.no_grad(), recorder:
        out = subject(image)
    outputs = frozenset(number for tensor in _tensors(out) if (number := recorder.number(tensor)) is not None)
    return Trace(tuple(recorder.calls), tuple(recorder.buffers), outputs)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what runs. A buffer is a storage: views and in-place operators stay in the buffer of their input."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.buffers: list[tuple[int, int]] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Tensor] = []  # keeps storages alive, so that no address is used twice
        self._from_image: set[int] = set()  # buffers that depend on the image
        self._path = [""]
        weights = (*model.named_parameters(), *model.named_buffers())
        self._weights = {_address(tensor): name for name, tensor in reversed(weights)}
        for name, module in model.named_modules():
            module.register_forward_pre_hook(partial(self._enter, name), prepend=True)
            module.register_forward_hook(self._leave, always_call=True)
        self._from_image.add(self._new(image))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operator = func._schema.name.rpartition("::")[2]
        if operator not in _MACS and operator not in NORMS and func is not torch.ops.prim.device.default:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        inputs = list(_tensors((args, tuple(kwargs.values()))))
        reads = tuple(dict.fromkeys(number for tensor in inputs if (number := self.number(tensor)) is not None))
        if operator in VALUE_READERS and self._from_image & set(reads):
            raise DataDependentError(
                f"what it computes depends on the values in its image ({operator} in "
                f"{self._path[-1] or 'its forward'}), so its cost is not one number"
            )
        out = func(*args, **kwargs)
        self._record(func, operator, args, inputs, reads, out)
        return out

    def number(self, tensor: Tensor) -> int | None:
        """The index of a tensor's buffer; None for the network's own tensors."""
        address = _address(tensor)
        return None if address in self._weights else self._numbers.get(address)

    def _record(
        self, func: Any, operator: str, args: Any, inputs: list[Tensor], reads: tuple[int, ...], out: Any
    ) -> None:
        input_addresses = {_address(tensor) for tensor in inputs}
        outputs = list(_tensors(out))
        for tensor in outputs:
            if _address(tensor) not in self._weights and _address(tensor) not in self._numbers:
                self._new(tensor)
        writes = tuple(dict.fromkeys(number for tensor in outputs if (number := self.number(tensor)) is not None))
        if self._from_image & set(reads):
            self._from_image.update(writes)
        count = _MACS.get(operator)
        self.calls.append(
            Call(
                module=self._path[-1],
                operator=operator,
                macs=count(args, out) if count else None,
                shape=tuple(outputs[0].shape[1:]) if outputs else (),
                reads=reads,
                writes=writes,
                weights=tuple(name for tensor in inputs if (name := self._weights.get(_address(tensor))) is not None),
                fusable=operator in (*NORMS, *UNTAGGED_ACTIVATIONS)
                or (torch.Tag.pointwise in func.tags and operator not in COPY_OPERATORS),
                view=not func._schema.is_mutable and {_address(tensor) for tensor in outputs} <= input_addresses,
            )
        )

    def _new(self, tensor: Tensor) -> int:
        number = self._numbers[_address(tensor)] = len(self.buffers)
        self.buffers.append((tensor.numel(), tensor.numel() * tensor.element_size()))
        self._kept.append(tensor)
        return number

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._path.append(name)

    def _leave(self, module: nn.Module, inputs: Any, out: Any) -> None:
        self._path.pop()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _convolution(args: Any, out: Tensor) -> int:
    """Multiply-adds; args: image, weight (out, in / groups, ...), bias, stride, padding, dilation, transposed, ..."""
    image, weight, transposed = args[0], args[1], args[6]
    return int((image if transposed else out).numel() * math.prod(weight.shape[1:]))


def _product(first: int, args: Any, out: Any) -> int:
    """Multiply-adds of args[first] (..., n, m) times args[first + 1] (..., m, p), or times a vector (m)."""
    left, right = args[first], args[first + 1]
    return int(left.numel() * (right.shape[-1] if right.ndim > 1 else 1))


def _attention(args: Any, out: Any) -> int:
    """Multiply-adds of queries (N, heads, n, e) times keys (N, heads, m, e), and of their product times values."""
    queries, keys, values = args[:3]
    return int(math.prod(queries.shape[:-1]) * keys.shape[-2] * (queries.shape[-1] + values.shape[-1]))


_MACS: dict[str, Callable[[Any, Any], int]] = {
    "convolution": _convolution,
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot"), partial(_product, 0)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), partial(_product, 1)),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        _attention,
    ),
}  # fmt: skip
"""Counted operators → the function that gives their multiply-adds from arguments and result."""
