"""Records every operator that runs inside of a module, with its multiply-adds and the buffers it reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lightcnn.counting.macs import COPY_OPERATORS, NORMS, UNTAGGED_ACTIVATIONS, formula, is_free
from lightcnn.errors import InputError

VALUE_READERS = ("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_consecutive", "nms")
"""Operators that make values of a tensor known to Python, or a shape dependent on them."""
PYTHON_READERS = ("tolist", "numpy", "__array__", "__dlpack__")
"""Methods of a tensor that read its values without an operator."""


@dataclass(frozen=True)
class Call:
    """One operator that ran in the module named `module`.

    `reads` and `writes` are indices into `Trace.buffers`, `weights` the names of the network's tensors that it read.
    `macs` is None for operators that are not counted; `free` means that it is known to have none. `fusable` marks a
    norm or an activation of one tensor, `view` an operator that computes nothing. `shape` is the shape of the output
    for one image. A call that depends on weights alone reads and writes no buffer.
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
    free: bool = True


class DataDependentError(InputError):
    """The network does not do the same with every image, so its cost is not one number."""


class PythonReads(TorchFunctionMode):
    """Refuses methods that make values of the image known to Python."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in PYTHON_READERS:
            self._recorder.refuse_values(name, args[0])
        return func(*args, **(kwargs or {}))


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what runs. A buffer is a storage: views and in-place operators stay in the buffer of their input."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.buffers: list[tuple[int, int]] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Tensor] = []  # keeps storages alive, so that no address is used twice
        self._from_image: set[int] = set()  # buffers that depend on the image
        self._path = [""]
        plain = list(_plain_tensors(model))
        self._kept += plain  # the network may replace them while it runs
        self._weights = dict.fromkeys(map(_address, plain), "")  # '': computed from weights alone
        weights = (*model.named_parameters(), *model.named_buffers())
        self._weights |= {_address(tensor): name for name, tensor in reversed(weights)}
        self._kept += [tensor for _, tensor in weights]
        for name, module in model.named_modules():
            module.register_forward_pre_hook(partial(self._enter, name), prepend=True)
            module.register_forward_hook(self._leave, always_call=True)
        self._from_image.add(self._new(image))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operator = func._schema.name.rpartition("::")[2]
        if not formula(operator) and operator not in NORMS and func is not torch.ops.prim.device.default:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        inputs = list(tensors_in((args, tuple(kwargs.values()))))
        if operator in VALUE_READERS or torch.Tag.data_dependent_output in func.tags or _is_mask(operator, args):
            self.refuse_values(operator, inputs)
        out = func(*args, **kwargs)
        self._record(func, operator, args, inputs, out)
        return out

    def refuse_values(self, operator: str, value: Any) -> None:
        """Raises: DataDependentError if any of these tensors depends on the image."""
        if self._from_image & {self.number(tensor) for tensor in tensors_in(value)}:
            raise DataDependentError(
                f"what it computes depends on the values in its image ({operator} in "
                f"{self._path[-1] or 'its forward'}), so its cost is not one number"
            )

    def number(self, tensor: Tensor) -> int | None:
        """The index of a tensor's buffer; None for the network's own tensors."""
        address = _address(tensor)
        return None if address in self._weights else self._numbers.get(address)

    def _record(self, func: Any, operator: str, args: Any, inputs: list[Tensor], out: Any) -> None:
        reads = tuple(dict.fromkeys(number for tensor in inputs if (number := self.number(tensor)) is not None))
        names = [name for tensor in inputs if (name := self._weights.get(_address(tensor))) is not None]
        input_addresses = {_address(tensor) for tensor in inputs}
        outputs = list(tensors_in(out))
        count = formula(operator)
        of_image = bool(self._from_image & set(reads))
        constant = bool(names) and not of_image and not (count and reads)
        self._name(outputs, constant, of_image and func._schema.is_mutable)
        writes = tuple(dict.fromkeys(number for tensor in outputs if (number := self.number(tensor)) is not None))
        if of_image:
            self._from_image.update(writes)
        self.calls.append(
            Call(
                module=self._path[-1],
                operator=operator,
                macs=count(args, out) if count and not constant else None,
                shape=tuple(outputs[0].shape[1:]) if outputs else (),
                reads=() if constant and not writes else reads,
                writes=writes,
                weights=tuple(filter(None, names)),
                fusable=operator in (*NORMS, *UNTAGGED_ACTIVATIONS)
                or (torch.Tag.pointwise in func.tags and operator not in COPY_OPERATORS),
                view=not func._schema.is_mutable and {_address(tensor) for tensor in outputs} <= input_addresses,
                free=is_free(func, func.namespace, operator),
            )
        )

    def _name(self, outputs: list[Tensor], constant: bool, overwritten: bool) -> None:
        """Gives a buffer to each output that has none; what depends on weights alone is like a weight instead.

        A weight that is overwritten with what depends on the image is an activation from then on.
        """
        for tensor in outputs:
            address = _address(tensor)
            if overwritten:
                self._weights.pop(address, None)
            if address in self._weights or address in self._numbers:
                continue
            if constant:
                self._weights[address] = ""
                self._kept.append(tensor)
            else:
                self._new(tensor)

    def _new(self, tensor: Tensor) -> int:
        number = self._numbers[_address(tensor)] = len(self.buffers)
        self.buffers.append((tensor.numel(), tensor.numel() * tensor.element_size()))
        self._kept.append(tensor)
        return number

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._path.append(name)

    def _leave(self, module: nn.Module, inputs: Any, out: Any) -> None:
        self._path.pop()


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))


def _plain_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Tensors that modules keep as attributes, besides parameters and buffers."""
    for module in model.modules():
        yield from (value for value in vars(module).values() if isinstance(value, Tensor))


def _is_mask(operator: str, args: Any) -> bool:
    """Whether an operator chooses elements by a mask, so that their number depends on values."""
    return operator == "index" and any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors_in(args[1]))


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
