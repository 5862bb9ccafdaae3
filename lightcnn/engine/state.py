"""Everything that changes while a network is trained: weights, their average, optimizer, schedule, step and epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.engine.loss_tally import NOTHING, EpochPart
from lightcnn.engine.optimizers import Average, make_optimizer, state_keys
from lightcnn.engine.schedules import Schedule
from lightcnn.recipe import Optimisation


class State:
    """The state of training `model` in place. Random numbers come from (seed, epoch, index) and are not part of it."""

    def __init__(self, model: nn.Module, settings: Optimisation, images: int) -> None:
        """`images`: number of training images."""
        self.settings = settings
        self.model = model.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(model, settings)
        self._batches = math.ceil(images / settings.batch)
        self.steps_per_epoch = math.ceil(self._batches / settings.accumulate)
        self.schedule = Schedule(settings, self.steps_per_epoch)
        self.average = Average(model, settings.ema) if settings.ema else None
        self.epoch = 0
        self.step = 0
        self.part = NOTHING
        self.stopped = False

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.schedule.steps

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the averaged one if the recipe averages weights."""
        return self.average.model if self.average else self.model

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.settings.learning_rate * self.schedule.share(self.step)

    def remaining(self, order: NDArray[np.int64], last: int) -> Iterator[list[NDArray[np.int64]]]:
        """The batches of this epoch's steps that are not done, up to step `last`, in a list for each step.

        `order` has the images of the epoch; batches have nearly equal sizes.
        """
        batches = np.array_split(order, self._batches)
        first = self.epoch * self.steps_per_epoch
        for numbers in np.array_split(np.arange(self._batches), self.steps_per_epoch)[self.step - first : last - first]:
            yield [batches[number] for number in numbers]

    def end_epoch(self, done: EpochPart) -> bool:
        """Takes the part of the epoch that is done; returns whether this was its end."""
        ended = self.step == min((self.epoch + 1) * self.steps_per_epoch, self.steps)
        self.epoch, self.part = self.epoch + ended, NOTHING if ended else done
        return ended

    def update(self) -> None:
        """Takes one optimizer step with the accumulated gradients."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.average:
            self.average.update(self.model, self.step)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by name; not copies, so further training changes them."""
        named = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.average:
            named |= {f"average.{name}": value for name, value in self.average.model.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer.{number}.{key}": value for key, value in values.items() if isinstance(value, Tensor)}
        return named

    def restore(
        self, tensors: Mapping[str, Tensor], *, epoch: int, step: int, plateaus: int, part: EpochPart = NOTHING
    ) -> None:
        """Restores the state at which `tensors` were saved. Raises: ValueError if they belong to another training."""
        in_epoch = step - epoch * self.steps_per_epoch
        if step != self.steps and not 0 <= in_epoch < self.steps_per_epoch:
            raise ValueError(f"step {step} is not in epoch {epoch + 1}")
        fill(self.model, tensors, "model.")
        if self.average:
            fill(self.average.model, tensors, "average.")
        self._restore_optimizer({name: value for name, value in tensors.items() if name.startswith("optimizer.")})
        kinds = {"model", "optimizer", *(("average",) if self.average else ())}
        if unknown := sorted(name for name in tensors if name.partition(".")[0] not in kinds):
            raise ValueError(f"{unknown[0]} is not part of this training")
        self.epoch, self.step, self.schedule.plateaus, self.part = epoch, step, plateaus, part

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, _, key = name.removeprefix("optimizer.").partition(".")
            place = int(number) if number.isdecimal() and len(number) < 9 else -1
            if not 0 <= place < len(parameters) or (key != "step" and value.shape != parameters[place].shape):
                raise ValueError(f"{name} of shape {tuple(value.shape)} does not belong to any parameter")
            state.setdefault(place, {})[key] = _in_layout_of(parameters[place], value) if value.ndim else value
        expected = state_keys(self.settings)
        # A parameter that never had a gradient has no state.
        wrong = [place for place, values in state.items() if values.keys() != expected]
        if wrong:
            raise ValueError(f"optimizer.{wrong[0]} does not have the state {', '.join(sorted(expected)) or 'none'}")
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def fill(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Copies values into the tensors of a module, which keep their memory layout. Raises: ValueError."""
    current = module.state_dict()
    saved = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if saved.keys() != current.keys():
        wrong = sorted(saved.keys() ^ current.keys())
        raise ValueError(f"{prefix}{wrong[0]} is {'missing' if wrong[0] in current else 'not part of this network'}")
    for name, value in current.items():
        if saved[name].shape != value.shape or saved[name].dtype != value.dtype:
            raise ValueError(
                f"{prefix}{name} is {saved[name].dtype} {tuple(saved[name].shape)}, not {value.dtype} "
                f"{tuple(value.shape)}"
            )
    with torch.no_grad():
        for name, value in current.items():
            value.copy_(saved[name])


def _in_layout_of(parameter: Tensor, value: Tensor) -> Tensor:
    """The value in the parameter's memory layout: the same numbers in another layout can round differently."""
    return torch.empty_like(parameter).copy_(value)
