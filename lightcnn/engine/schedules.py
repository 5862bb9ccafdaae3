"""Learning-rate schedules: the learning rate of every step, as a share of the recipe's."""

from __future__ import annotations

import math
from collections.abc import Callable

from lightcnn.recipe import Optimisation


class Schedule:
    """The share of the highest learning rate at a step. Its only state is the number of plateaus so far."""

    def __init__(self, settings: Optimisation, steps: int) -> None:
        """`steps`: optimizer steps in one epoch."""
        self._shape = SHAPES[settings.schedule](settings, steps)
        self._settings = settings
        self.plateaus = 0

    def share(self, step: int) -> float:
        """The share at `step`, from 0."""
        return self._shape(step) * self._settings.decay_factor**self.plateaus

    def observe(self, epochs_without_gain: int) -> None:
        """Takes the number of epochs without improvement after every validation; only `plateau` uses it."""
        if self._settings.schedule == "plateau" and epochs_without_gain:
            self.plateaus += epochs_without_gain % self._settings.decay_epochs == 0


def one_cycle(steps: int, warmup: float) -> Callable[[int], float]:
    """Share of the highest learning rate at a step: a cosine up from 1/25, then a cosine down to 1/10,000."""

    def share(step: int) -> float:
        done = step / steps
        if done < warmup:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warmup)) / 2
        return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2

    return share


def _one_cycle(settings: Optimisation, steps: int) -> Callable[[int], float]:
    return one_cycle(settings.epochs * steps, settings.warmup)


def _constant(settings: Optimisation, steps: int) -> Callable[[int], float]:
    return _warmed(settings, steps, lambda step: 1.0)


def _cosine(settings: Optimisation, steps: int) -> Callable[[int], float]:
    """A cosine down to zero over the steps after the warm-up (arXiv:1608.03983, without restarts)."""
    total, warm = settings.epochs * steps, _warm_steps(settings, steps)
    return _warmed(settings, steps, lambda step: (1 + math.cos(math.pi * min(1, (step - warm) / (total - warm)))) / 2)


def _step(settings: Optimisation, steps: int) -> Callable[[int], float]:
    return _warmed(
        settings, steps, lambda step: float(settings.decay_factor ** (step // (steps * settings.decay_epochs)))
    )


def _warmed(settings: Optimisation, steps: int, after: Callable[[int], float]) -> Callable[[int], float]:
    """A straight line up to 1 over the warm-up, then `after`."""
    warm = _warm_steps(settings, steps)
    return lambda step: (step + 1) / (warm + 1) if step < warm else after(step)


def _warm_steps(settings: Optimisation, steps: int) -> int:
    return min(round(settings.warmup * settings.epochs * steps), settings.epochs * steps - 1)


SHAPES: dict[str, Callable[[Optimisation, int], Callable[[int], float]]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "step": _step,
    "plateau": _constant,
}
