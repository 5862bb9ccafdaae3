"""Everything that moves while a network is trained: weights, their average, optimizer, schedule, steps and epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightcnn.engine.optimizers import Average, make_optimizer, state_keys
from lightcnn.engine.schedules import Schedule
from lightcnn.recipe import Optimisation


class State:
    """A training of `model`, in place. What is drawn comes from (seed, epoch, index) and is no part of it."""

    def __init__(self, model: nn.Module, settings: Optimisation, images: int) -> None:
        """`images` are those of the training side."""
        self.settings = settings
        self.model = model.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(model, settings)
        self.batches = math.ceil(images / settings.batch)
        self.schedule = Schedule(settings, math.ceil(self.batches / settings.accumulate))
        self.average = Average(model, settings.ema) if settings.ema else None
        self.epoch = 0
        self.step = 0
        self.stopped = False

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: with averaged weights where the recipe averages."""
        return self.average.model if self.average else self.model

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.settings.learning_rate * self.schedule.share(self.step)

    def update(self) -> None:
        """One step along the gradients that have gathered."""
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
        """All of it that is tensors, by name; they are the ones that training goes on with."""
        named = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.average:
            named |= {f"average.{name}": value for name, value in self.average.model.state_dict().items()}
        for number, held in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer.{number}.{key}": value for key, value in held.items() if isinstance(value, Tensor)}
        return named

    def restore(self, tensors: Mapping[str, Tensor], *, epoch: int, step: int, plateaus: int) -> None:
        """Goes back to where `tensors` were written. Raises: ValueError where they belong to another training."""
        _fill(self.model, tensors, "model.")
        if self.average:
            _fill(self.average.model, tensors, "average.")
        self._restore_optimizer({name: value for name, value in tensors.items() if name.startswith("optimizer.")})
        kinds = {"model", "optimizer", *(("average",) if self.average else ())}
        if alien := sorted(name for name in tensors if name.partition(".")[0] not in kinds):
            raise ValueError(f"{alien[0]} has no place in this training")
        self.epoch, self.step, self.schedule.plateaus = epoch, step, plateaus

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, _, key = name.removeprefix("optimizer.").partition(".")
            place = int(number) if number.isdecimal() and len(number) < 9 else -1
            if not 0 <= place < len(parameters) or (key != "step" and value.shape != parameters[place].shape):
                raise ValueError(f"{name} of shape {tuple(value.shape)} belongs to no parameter")
            state.setdefault(place, {})[key] = _laid_out(value, parameters[place]) if value.ndim else value
        expected = state_keys(self.settings)
        # A parameter that never had a gradient has no state.
        odd = [place for place, held in state.items() if held.keys() != expected]
        if odd:
            raise ValueError(f"optimizer.{odd[0]} does not hold {', '.join(sorted(expected)) or 'nothing'}")
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Copies values into a module's own tensors, whose layout in memory stays. Raises: ValueError."""
    own = module.state_dict()
    given = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if given.keys() != own.keys():
        odd = sorted(given.keys() ^ own.keys())
        raise ValueError(f"{prefix}{odd[0]} is {'missing' if odd[0] in own else 'not part of this network'}")
    for name, value in own.items():
        if given[name].shape != value.shape or given[name].dtype != value.dtype:
            raise ValueError(
                f"{prefix}{name} is {given[name].dtype} {tuple(given[name].shape)}, not {value.dtype} "
                f"{tuple(value.shape)}"
            )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(given[name])


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """The value in the parameter's layout: the same numbers in another order in memory can round differently."""
    return torch.empty_like(parameter).copy_(value)
