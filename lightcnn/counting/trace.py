"""One inference of any network that records each operator: its module, multiply-adds, and what it reads and writes.

It runs on a copy without values (torch's meta device), or on a copy with values and an image of zeros if a model needs
them. Convolutions and matrix products are counted however they are called; one FLOP is one multiply-add.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lightcnn.counting.copies import meta_copy, value_copy, zero_image
from lightcnn.counting.passes import fixed_randomness, no_fused_kernels
from lightcnn.counting.recorder import Call, DataDependentError, PythonReads, Recorder, tensors_in
from lightcnn.errors import InputError
from lightcnn.spec import Shape
from lightcnn.text import first_line

SEEDS = 8
"""Seeds that are tried if random numbers were drawn: a branch of probability 1/2 is overlooked in 1 of 128 cases."""


@dataclass(frozen=True)
class Trace:
    """All calls of one inference; `buffers` are (elements, bytes) of each activation, the image first.

    `with_values` means that the network could not run without values.
    """

    calls: tuple[Call, ...]
    buffers: tuple[tuple[int, int], ...]
    outputs: frozenset[int]
    with_values: bool = False

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

    @property
    def unknown(self) -> Counter[str]:
        """Of the uncounted calls, those whose operator is not known to have no multiply-adds."""
        calls = (call for call in self.calls if call.macs is None and call.reads and not call.view and not call.free)
        return Counter(call.operator for call in calls)

    def notes(self) -> list[str]:
        """One sentence per unknown operator."""
        return [
            f"the multiply-adds of {operator} ({calls} call{'s' * (calls > 1)}) are unknown and not counted"
            for operator, calls in self.unknown.items()
        ]


def trace(model: nn.Module, shape: Shape, *, batch: int = 1, repeat: bool = True) -> Trace:
    """Traces one inference of images of `shape` (C, H, W) in eval mode, on a copy; with values if it fails without.

    Random numbers are the same in every trace. With `repeat`, the network also runs with other random numbers, and with
    other images if it needs values: the calls must be the same.

    Raises: InputError if the network cannot take the images, or if what it computes depends on their values.
    """
    for copy_model in (meta_copy, value_copy):
        try:
            traced, drawn = _trace(copy_model, model, shape, batch)
        except InputError:
            raise
        except Exception as error:  # any model may raise anything, also because its copy has no values
            failure = error
            continue
        if repeat:
            _require_same_calls(traced, partial(_trace, copy_model, model, shape, batch), SEEDS if drawn else 2)
        return traced
    size, reason = "×".join(map(str, shape)), first_line(failure)
    raise InputError(f"cannot take an image of {size}: {type(failure).__name__}: {reason}") from failure


def _require_same_calls(traced: Trace, run: Callable[..., tuple[Trace, bool]], seeds: int) -> None:
    """Raises: InputError if other random numbers, or other images of a network with values, make other calls."""
    others: list[tuple[str, Callable[[], tuple[Trace, bool]]]]
    others = [("random numbers", partial(run, seed=seed)) for seed in range(1, seeds)]
    if traced.with_values:
        fills = (Tensor.uniform_, Tensor.normal_, _large)
        others += [("the values in its image", partial(run, fill=fill)) for fill in fills]
    expected = _keys(traced)
    for cause, other in others:
        try:
            keys = _keys(other()[0])
        except InputError:
            raise
        except Exception:  # it ran before, with other values
            keys = []
        if keys != expected:
            pairs = zip(traced.calls, expected, keys, strict=False)
            place = next((call for call, ours, theirs in pairs if ours != theirs), None)
            where = f" (at {place.operator} in {place.module or 'its forward'})" if place else ""
            raise DataDependentError(f"what it computes depends on {cause}{where}, so its cost is not one number")


def _keys(traced: Trace) -> list[tuple[object, ...]]:
    return [(call.module, call.operator, call.macs, call.shape) for call in traced.calls]


def _large(image: Tensor) -> Tensor:
    return image.normal_(0, 100)


def _trace(
    copy_model: Callable[[nn.Module], nn.Module],
    model: nn.Module,
    shape: Shape,
    batch: int,
    seed: int = 0,
    fill: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Trace, bool]:
    """The trace, and whether random numbers were drawn."""
    subject = copy_model(model)
    image = zero_image(subject, shape, batch)
    if fill:
        with fixed_randomness(0):
            fill(image)
    recorder = Recorder(subject, image)
    with torch.no_grad(), no_fused_kernels(), fixed_randomness(seed) as drawn:
        with PythonReads(recorder), recorder:
            out = subject(image)
        has_drawn = drawn()
    outputs = frozenset(number for tensor in tensors_in(out) if (number := recorder.number(tensor)) is not None)
    values = copy_model is value_copy
    return Trace(tuple(recorder.calls), tuple(recorder.buffers), outputs, values), has_drawn
