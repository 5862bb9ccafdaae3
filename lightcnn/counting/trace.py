"""One pass through any network that writes down every operator: where it ran, multiply-adds, what it read and wrote.

The pass is made on a copy without values (torch's meta device), or with them and an image of zeros where a model needs
them. Counted are convolutions and matrix products in whatever form they are called: one FLOP is one multiply-add.
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
"""Operators after which a Python program knows the values in a tensor, or a shape depends on them."""
NORMS = (
    "native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "cudnn_batch_norm",
    "miopen_batch_norm", "native_layer_norm", "native_group_norm",
)  # fmt: skip
BATCH_NORMS = tuple(name for name in NORMS if "batch" in name)
COPY_OPERATORS = ("clone", "_to_copy", "copy_")
UNTAGGED_ACTIVATIONS = ("hardswish", "hardsigmoid", "mish", "elu", "leaky_relu", "softplus", "_prelu_kernel")
"""Activations, some of which torch does not mark as pointwise."""


@dataclass(frozen=True)
class Call:
    """One operator as it ran, in the module of that name.

    `reads` and `writes` are numbers of buffers (of `Trace.buffers`), `weights` the network's own tensors that it read.
    `macs` is None for operators that are not counted. `fusable`: a norm or an activation of one tensor. `view`: nothing
    was computed.
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
    """All calls of one inference; `buffers` are (elements, bytes) of every activation, the first being the image."""

    calls: tuple[Call, ...]
    buffers: tuple[tuple[int, int], ...]
    outputs: frozenset[int]

    @property
    def macs(self) -> int:
        """Multiply-adds of all calls."""
        return sum(call.macs or 0 for call in self.calls)

    @property
    def operators(self) -> Counter[str]:
        """Multiply-adds by operator, for those that are counted."""
        found: Counter[str] = Counter()
        for call in self.calls:
            if call.macs is not None:
                found[call.operator] += call.macs
        return found

    @property
    def uncounted(self) -> Counter[str]:
        """Calls by operator, for those that compute something of an activation and are not counted."""
        return Counter(call.operator for call in self.calls if call.macs is None and call.reads and not call.view)


class DataDependentError(InputError):
    """A network whose operators depend on the values in its image: it has no one count."""


def trace(model: nn.Module, shape: Shape, *, batch: int = 1) -> Trace:
    """The pass, for images of `shape` (C, H, W), in eval mode, on a copy; with values where it fails without them.

    Raises: InputError where the network cannot take them, or does with one image what it does not do with another.
    """
    for copied in (meta_copy, value_copy):
        try:
            return _trace(copied, model, shape, batch)
        except DataDependentError:
            raise
        except Exception as error:  # of anyone's model; without values it may be that these are missing
            failure = error
    size, reason = "×".join(map(str, shape)), first_line(failure)
    raise InputError(f"cannot take an image of {size}: {type(failure).__name__}: {reason}") from failure


def _trace(copied: Callable[[nn.Module], nn.Module], model: nn.Module, shape: Shape, batch: int) -> Trace:
    subject = copied(model)
    image = zero_image(subject, shape, batch)
    recorder = _Recorder(subject, image)
    with torch.no_grad(), recorder:
        out = subject(image)
    outputs = frozenset(number for tensor in _tensors(out) if (number := recorder.number(tensor)) is not None)
    return Trace(tuple(recorder.calls), tuple(recorder.buffers), outputs)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down what runs. A buffer is a storage: views and in-place operators stay in the buffer of their input."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.buffers: list[tuple[int, int]] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Tensor] = []  # the address of a storage is its own only while it lives
        self._seen: set[int] = set()  # buffers that depend on the image
        self._path = [""]
        held = (*model.named_parameters(), *model.named_buffers())
        self._weights = {_address(tensor): name for name, tensor in reversed(held)}
        for name, module in model.named_modules():
            module.register_forward_pre_hook(partial(self._enter, name), prepend=True)
            module.register_forward_hook(self._leave, always_call=True)
        self._seen.add(self._new(image))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operator = func._schema.name.rpartition("::")[2]
        if operator not in _MACS and operator not in NORMS and func is not torch.ops.prim.device.default:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        given = list(_tensors((args, tuple(kwargs.values()))))
        reads = tuple(dict.fromkeys(number for tensor in given if (number := self.number(tensor)) is not None))
        if operator in VALUE_READERS and self._seen & set(reads):
            raise DataDependentError(
                f"what it computes depends on the values in its image ({operator} in "
                f"{self._path[-1] or 'its forward'}); it has no one count"
            )
        out = func(*args, **kwargs)
        self._record(func, operator, args, given, reads, out)
        return out

    def number(self, tensor: Tensor) -> int | None:
        """The buffer of a tensor, None for the network's own."""
        address = _address(tensor)
        return None if address in self._weights else self._numbers.get(address)

    def _record(
        self, func: Any, operator: str, args: Any, given: list[Tensor], reads: tuple[int, ...], out: Any
    ) -> None:
        before = {_address(tensor) for tensor in given}
        made = list(_tensors(out))
        for tensor in made:
            if _address(tensor) not in self._weights and _address(tensor) not in self._numbers:
                self._new(tensor)
        writes = tuple(dict.fromkeys(number for tensor in made if (number := self.number(tensor)) is not None))
        if self._seen & set(reads):
            self._seen.update(writes)
        count = _MACS.get(operator)
        self.calls.append(
            Call(
                module=self._path[-1],
                operator=operator,
                macs=count(args, out) if count else None,
                shape=tuple(made[0].shape[1:]) if made else (),
                reads=reads,
                writes=writes,
                weights=tuple(name for tensor in given if (name := self._weights.get(_address(tensor))) is not None),
                fusable=operator in (*NORMS, *UNTAGGED_ACTIVATIONS)
                or (torch.Tag.pointwise in func.tags and operator not in COPY_OPERATORS),
                view=not func._schema.is_mutable and {_address(tensor) for tensor in made} <= before,
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
    """args: image, weight (out, in / groups, ...), bias, stride, padding, dilation, transposed, ..."""
    image, weight, transposed = args[0], args[1], args[6]
    return int((image if transposed else out).numel() * math.prod(weight.shape[1:]))


def _product(first: int, args: Any, out: Any) -> int:
    """A product of args[first] (..., n, m) with args[first + 1] (..., m, p), or with a vector (m)."""
    one, other = args[first], args[first + 1]
    return int(one.numel() * (other.shape[-1] if other.ndim > 1 else 1))


def _attention(args: Any, out: Any) -> int:
    """Queries (N, heads, n, e) with keys (N, heads, m, e), and the weights (N, heads, n, m) with values."""
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
"""Multiply-adds of the counted operators from their arguments and result."""
