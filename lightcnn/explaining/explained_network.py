"""The network that is explained: a private copy, its inputs, and the score that methods attribute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.counting.copies import eval_copy
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import mean_and_deviation
from lightcnn.decisions import OutputKind, decide
from lightcnn.devices import is_out_of_memory
from lightcnn.errors import InputError, LightcnnError
from lightcnn.explaining.explained import Masks, require_batch
from lightcnn.inference import class_probabilities
from lightcnn.output_kinds import as_logits, output_kind

Result = TypeVar("Result")

CPU_BATCH, DEVICE_BATCH = 8, 64
"""Default number of images that go through the network at once. On a CPU larger batches are slower (MicroMPoxNet at 128
pixels, one thread of an AMD EPYC: 10 ms per image in batches of 8, 17 ms of 32, 19 ms of 64)."""
PROBES = 4
"""Number of images, and of noise images, whose outputs show whether a network returns logits or probabilities."""


class Batch:
    """The number of images that go through a network at once.

    It is halved if the memory does not suffice; `note` then reports it.
    """

    def __init__(self, size: int = CPU_BATCH) -> None:
        """Raises: InputError if the size is not a whole number from 1."""
        self.size = self.requested = require_batch(size)

    @property
    def note(self) -> str:
        """A sentence if the memory did not suffice; otherwise empty."""
        if self.size == self.requested:
            return ""
        return f"memory sufficed for {self.size} of {self.requested} images at once"

    def attempt(self, work: Callable[[int], Result], limit: int | None = None) -> Result:
        """Calls `work(size)` with at most `limit` images at once, and with half as many if the memory does not suffice.

        Raises: LightcnnError if the memory does not suffice for one image.
        """
        size = min(self.size, limit or self.size)
        while True:
            try:
                return work(size)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise LightcnnError("explain: out of memory with a single image; use --device cpu") from None
                size = self.size = size // 2

    def map(self, count: int, work: Callable[[int, int], Tensor]) -> Tensor:
        """`work(start, end)` for consecutive parts of 0..count, concatenated on the CPU.

        Raises: LightcnnError if the memory does not suffice for one image.
        """
        parts: list[Tensor] = []
        start = 0
        while start < count:
            parts.append(self.attempt(partial(_part, work, start), count - start))
            start += min(self.size, count - start)
        return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class ExplainedNetwork:
    """A network that methods may hook and differentiate: a frozen copy in eval mode without in-place operations.

    `model` maps (N, C, H, W) to logits (N, classes), or (N, 1) for a sigmoid head. Outputs of another `kind` are turned
    into logits. `mean` and `deviation` (1, C, 1, 1) normalise pixels on the scale 0..255; without preprocessing they
    are 0 and 1, so that pixels are inputs. `threshold` is that of the second of two classes.
    """

    model: nn.Module
    classes: tuple[str, ...]
    mean: Tensor
    deviation: Tensor
    temperature: float = 1.0
    threshold: float = 0.5
    batch: Batch = field(default_factory=Batch)
    kind: OutputKind = "logits"

    @classmethod
    def of(cls, model: nn.Module, preprocess: Preprocess, *, batch: int | None = None) -> Self:
        """A copy of a network with the preprocessing of its run."""
        copy = _private_copy(model)
        device = device_of(copy)
        mean, deviation = mean_and_deviation(preprocess, device)
        calibration = preprocess.temperature, preprocess.threshold
        return cls(copy, preprocess.classes, mean, deviation, *calibration, _batch(batch, device))

    @classmethod
    def bare(cls, model: nn.Module, channels: int, classes: tuple[str, ...], *, batch: int | None = None) -> Self:
        """A copy of a module whose images are given as it reads them."""
        copy = _private_copy(model)
        ones = torch.ones(1, channels, 1, 1, device=device_of(copy))
        return cls(copy, classes, torch.zeros_like(ones), ones, batch=_batch(batch, ones.device))

    @property
    def device(self) -> torch.device:
        """The device of the network and its inputs."""
        return device_of(self.model)

    def inputs(self, pixels: Tensor) -> Tensor:
        """Inputs of the network, float32, from pixels (N, C, H, W): uint8, or float on the scale 0..255."""
        return (pixels.to(self.device).float() - self.mean) / self.deviation

    def inputs_of(self, seen: NDArray[np.uint8]) -> Tensor:
        """The input (1, C, H, W) for an image (H, W, C) at the size of the network."""
        return self.inputs(torch.from_numpy(seen.copy()).movedim(2, 0)[None].contiguous())

    def pixels(self, inputs: Tensor) -> Tensor:
        """The inverse of `inputs`: float32 (N, C, H, W)."""
        return inputs * self.deviation + self.mean

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (N, classes), or (N, 1) for a sigmoid head, with gradients. Raises: InputError for another output."""
        outputs = self.model(inputs)
        if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[0] != len(inputs):
            output = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise InputError(
                f"explain: the network returns {output} for {len(inputs)} images; it must return one row of logits per "
                "image"
            )
        return as_logits(outputs, self.kind)

    def with_kind_of_outputs(self, images: Tensor) -> Self:
        """The same with the kind of outputs that the network has for the first `images` (N, C, H, W) and for noise.

        Raises: InputError if the network ends in a softmax that is not over the classes.
        """
        with torch.inference_mode(False), torch.enable_grad():
            first = images[:PROBES].detach().float().cpu()
            noise = torch.rand((PROBES, *first.shape[1:]), generator=torch.Generator().manual_seed(0))
            probes = torch.cat([first, first.min() + (first.max() - first.min()) * noise]).to(self.device)
            rows = [self.logits(probe[None].requires_grad_()) for probe in probes]
        try:
            return replace(self, kind=output_kind(torch.cat(rows)))
        except ValueError as error:
            raise InputError(f"explain: the network returns no probabilities of classes: {error}") from None

    def score(self, inputs: Tensor, target: int) -> Tensor:
        """The score that is attributed, (N,): the logit of a class.

        For the first class of a sigmoid head it is the negated logit.
        """
        logits = self.logits(inputs)
        if logits.shape[1] == 1:
            return logits[:, 0] if target else -logits[:, 0]
        return logits[:, target]

    def probabilities(self, inputs: Tensor) -> Tensor:
        """Calibrated class probabilities (N, classes) in float64 on the CPU, computed in batches."""
        return self.batch.map(len(inputs), lambda start, end: self.probabilities_once(inputs[start:end]))

    def values(self, inputs: Tensor) -> NDArray[np.float32]:
        """Inputs (N, C, H, W) as an array."""
        values: NDArray[np.float32] = inputs.cpu().numpy()
        return values

    def from_values(self, values: NDArray[np.floating[Any]]) -> Tensor:
        """The inverse of `values`."""
        return torch.from_numpy(values).to(self.device, torch.float32)

    def pixels_of(self, inputs: Tensor) -> NDArray[np.float64]:
        """The pixels (C, H, W) of one image (1, C, H, W), on the scale 0..255."""
        pixels: NDArray[np.float64] = self.pixels(inputs)[0].double().cpu().numpy()
        return pixels

    def mean_image(self, inputs: Tensor) -> Tensor:
        """An image of the training mean: inputs of 0."""
        return torch.zeros_like(inputs)

    def probability_table(self, inputs: Tensor) -> NDArray[np.float64]:
        """The same as `probabilities`, as an array."""
        table: NDArray[np.float64] = self.probabilities(inputs).numpy()
        return table

    def mixed_probabilities(self, inside: Tensor, outside: Tensor, masks: Masks, count: int) -> NDArray[np.float64]:
        """Probabilities (count, classes) of images that show `inside` in a mask and `outside` elsewhere."""
        return self._mixed(self.probabilities_once, inside, outside, masks, count)

    def mixed_scores(
        self, inside: Tensor, outside: Tensor, masks: Masks, count: int, target: int
    ) -> NDArray[np.float64]:
        """The scores (count,) of a class for such images."""
        with torch.no_grad():
            return self._mixed(lambda images: self.score(images, target).double(), inside, outside, masks, count)

    def _mixed(
        self, work: Callable[[Tensor], Tensor], inside: Tensor, outside: Tensor, masks: Masks, count: int
    ) -> NDArray[np.float64]:
        """The results of `work` for such images, which are made in batches."""

        def part(start: int, end: int) -> Tensor:
            shown = torch.from_numpy(masks(start, end)).to(self.device)
            return work(torch.where(shown[:, None], inside, outside))

        results: NDArray[np.float64] = self.batch.map(count, part).numpy()
        return results

    def predictions(self, inputs: Tensor) -> NDArray[np.int64]:
        """The predicted classes (N,)."""
        return decide(self.probabilities(inputs).numpy(), self.threshold)

    def probabilities_once(self, inputs: Tensor) -> Tensor:
        """The same as `probabilities`, all at once: for callers that make their inputs in batches."""
        with torch.inference_mode():
            logits = self.logits(inputs).cpu()
            if self.kind == "independent probabilities" and logits.shape[1] > 1:
                return (logits.double() / self.temperature).sigmoid()
            return class_probabilities(logits, self.temperature)

    @property
    def note(self) -> str:
        """A sentence if the network does not return logits; otherwise empty."""
        if self.kind == "logits":
            return ""
        score = "log probability minus the mean over the classes"
        score = "log-odds" if self.kind == "independent probabilities" else score
        return f"the network returns {self.kind}, not logits: they are used as such, and maps explain a class's {score}"


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's first parameter; the CPU for a model without parameters."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _part(work: Callable[[int, int], Tensor], start: int, size: int) -> Tensor:
    return work(start, start + size).cpu()


def _batch(size: int | None, device: torch.device) -> Batch:
    return Batch(size if size is not None else CPU_BATCH if device.type == "cpu" else DEVICE_BATCH)


def _private_copy(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with the caller's model: no hooks, no parameter gradients, no in-place operations.

    The copy is in float32, because inputs are and because half precision would hide the small differences that methods
    look at, and in channels_last, in which convolutions are faster.
    """
    with torch.inference_mode(False):  # tensors made in inference mode can never be differentiated
        copy = eval_copy(model).requires_grad_(False).float().to(memory_format=torch.channels_last)
    for part in copy.modules():
        if hasattr(part, "inplace"):
            vars(part)["inplace"] = False
    return copy
