"""What is explained: a private copy of a network, the images as it reads them, and the score that methods attribute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.counting.copies import eval_copy
from lightcnn.data.preprocess import Preprocess
from lightcnn.decisions import decide
from lightcnn.errors import InputError, LightcnnError
from lightcnn.inference import class_probabilities

Found = TypeVar("Found")


ON_CPU, ELSEWHERE = 8, 64
"""Images at once where nobody says: on a CPU more of them are slower (MicroMPoxNet at 128, one thread of an AMD EPYC:
10 ms each in batches of 8, 17 of 32, 19 of 64)."""


class Batch:
    """How many images go through a network at once: halved where memory does not suffice, and `note` says so."""

    def __init__(self, size: int = ON_CPU) -> None:
        """Raises: InputError for less than one."""
        if size < 1:
            raise InputError(f"--batch {size}: a number of images from 1 on")
        self.size = self.asked = size

    @property
    def note(self) -> str:
        """Empty where the memory sufficed."""
        return f"memory sufficed for {self.size} of {self.asked} images at once" if self.size < self.asked else ""

    def attempt(self, work: Callable[[int], Found], most: int | None = None) -> Found:
        """`work(size)` of at most `most` images at once, of half as many where memory does not suffice.

        Raises: LightcnnError where it does not suffice for one.
        """
        size = min(self.size, most or self.size)
        while True:
            try:
                return work(size)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _memory(error):
                    raise
                if size == 1:
                    raise LightcnnError("explain: no memory for one image; use --device cpu") from None
                size = self.size = size // 2

    def map(self, count: int, work: Callable[[int, int], Tensor]) -> Tensor:
        """`work(start, end)` of all parts of 0..count, joined on the CPU. Raises: LightcnnError without memory."""
        found: list[Tensor] = []
        start = 0
        while start < count:
            found.append(self.attempt(partial(_part, work, start), count - start))
            start += min(self.size, count - start)
        return torch.cat(found)


@dataclass(frozen=True, eq=False)
class ExplainedNetwork:
    """A network that methods may hook and differentiate: a copy in eval mode, frozen, with nothing done in place.

    `model` is (N, C, H, W) → logits (N, classes), or (N, 1) of a sigmoid head. `mean` and `deviation` (1, C, 1, 1)
    bring pixels on the scale 0..255 to its inputs; without a preprocessing they are 0 and 1, and pixels are inputs.
    `threshold` is that of the second of two classes.
    """

    model: nn.Module
    classes: tuple[str, ...]
    mean: Tensor
    deviation: Tensor
    temperature: float = 1.0
    threshold: float = 0.5
    batch: Batch = field(default_factory=Batch)

    @classmethod
    def of(cls, model: nn.Module, preprocess: Preprocess, *, batch: int | None = None) -> Self:
        """A network and the preprocessing of its run."""
        copy = _private(model)
        place = device_of(copy)
        mean, deviation = preprocess.scale(place)
        rule = preprocess.temperature, preprocess.threshold
        return cls(copy, preprocess.classes, mean, deviation, *rule, _batch(batch, place))

    @classmethod
    def bare(cls, model: nn.Module, channels: int, classes: tuple[str, ...], *, batch: int | None = None) -> Self:
        """Any module, whose images are given as it reads them."""
        copy = _private(model)
        one = torch.ones(1, channels, 1, 1, device=device_of(copy))
        return cls(copy, classes, torch.zeros_like(one), one, batch=_batch(batch, one.device))

    @property
    def device(self) -> torch.device:
        """Where the network reads its images."""
        return device_of(self.model)

    def inputs(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W), uint8 or float on the scale 0..255, as the network reads them: float32."""
        return (pixels.to(self.device).float() - self.mean) / self.deviation

    def pixels(self, inputs: Tensor) -> Tensor:
        """The way back: float32 (N, C, H, W)."""
        return inputs * self.deviation + self.mean

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, classes), or (N, 1) of a sigmoid head; gradients flow. Raises: InputError for any other output."""
        found = self.model(inputs)
        if not isinstance(found, Tensor) or found.ndim != 2 or found.shape[0] != len(inputs):
            said = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"explain: the network gives {said} for {len(inputs)} images, not one row of logits each")
        return found

    def score(self, inputs: Tensor, target: int) -> Tensor:
        """What is attributed, (N,): the logit of a class; of a sigmoid head the logit, negated for the first class."""
        logits = self.logits(inputs)
        if logits.shape[1] == 1:
            return logits[:, 0] if target else -logits[:, 0]
        return logits[:, target]

    def probabilities(self, inputs: Tensor) -> Tensor:
        """(N, classes) in float64 on the CPU, calibrated, a batch at a time."""
        return self.batch.map(len(inputs), lambda start, end: self.probabilities_once(inputs[start:end]))

    def predictions(self, inputs: Tensor) -> NDArray[np.int64]:
        """The classes (N,) that the network answers with."""
        return decide(self.probabilities(inputs).numpy(), self.threshold)

    def probabilities_once(self, inputs: Tensor) -> Tensor:
        """The same, all at once: for what makes its inputs a batch at a time."""
        with torch.inference_mode():
            return class_probabilities(self.logits(inputs).cpu(), self.temperature)


def device_of(model: nn.Module) -> torch.device:
    """Of its first parameter; the CPU where it has none."""
    return next((held.device for held in model.parameters()), torch.device("cpu"))


def _part(work: Callable[[int, int], Tensor], start: int, size: int) -> Tensor:
    return work(start, start + size).cpu()


def _batch(size: int | None, device: torch.device) -> Batch:
    return Batch(size if size is not None else ON_CPU if device.type == "cpu" else ELSEWHERE)


def _private(model: nn.Module) -> nn.Module:
    """A copy that changes nothing of the caller's: nobody's hooks, no gradients of parameters, nothing in place.

    Hooks of torch's own stay that make a layer's weights before it runs, as its weight_norm and pruning do. In float32
    whatever the model's: inputs are, and half precision would drown the small differences methods look at. In
    channels_last, in which convolutions are faster.
    """
    with torch.inference_mode(False):  # what is made in inference mode can never be differentiated
        copy = eval_copy(model).requires_grad_(False).float().to(memory_format=torch.channels_last)
    for part in copy.modules():
        for hooks in (part._forward_hooks, part._backward_hooks, part._backward_pre_hooks):
            hooks.clear()
        for number, hook in list(part._forward_pre_hooks.items()):
            if not type(hook).__module__.startswith("torch.nn.utils."):
                del part._forward_pre_hooks[number]
        if hasattr(part, "inplace"):
            vars(part)["inplace"] = False
    return copy


def _memory(error: BaseException) -> bool:
    """Whether it is one of the ways in which torch says that there is none left."""
    said = ("can't allocate memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in said)
