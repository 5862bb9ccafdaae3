"""Learning-rate schedules: the learning rate of every step, as a share of the recipe's."""

from __future__ import annotations

import math
from collections.abc import Callable

from lightcnn.recipe import Optimisation

DECAY_SHARE = 0.2
"""Share of the steps in which warmup-stable-decay reduces the learning rate to zero."""


class Schedule:
    """The share of the highest learning rate at a step. Its only state is the number of plateaus so far."""

    def __init__(self, settings: Optimisation, steps: int) -> None:
        """`steps`: optimizer steps in one epoch."""
        self.steps = total_steps(settings, steps)
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


def total_steps(settings: Optimisation, steps: int) -> int:
    """Optimizer steps of a training with so many `steps` in one epoch."""
    return min(settings.epochs * steps, settings.steps or settings.epochs * steps)


def one_cycle(steps: int, warmup: float) -> Callable[[int], float]:
    """Share of the highest learning rate at a step: a cosine up from 1/25, then a cosine down to 1/10,000."""

    def share(step: int) -> float:
        done = step / steps
        if done < warmup:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warmup)) / 2
        return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2

    return share


def _one_cycle(settings: Optimisation, steps: int) -> Callable[[int], float]:
    return one_cycle(total_steps(settings, steps), settings.warmup)


def _constant(settings: Optimisation, steps: int) -> Callable[[int], float]:
    return _warmed(settings, steps, lambda step: 1.0)


def _cosine(settings: Optimisation, steps: int) -> Callable[[int], float]:
    """A cosine down to zero over the steps after the warm-up (arXiv:1608.03983, without restarts)."""
    total, warm = total_steps(settings, steps), _warm_steps(settings, steps)
    return _warmed(settings, steps, lambda step: (1 + math.cos(math.pi * min(1, (step - warm) / (total - warm)))) / 2)


def _step(settings: Optimisation, steps: int) -> Callable[[int], float]:
    return _warmed(
        settings, steps, lambda step: float(settings.decay_factor ** (step // (steps * settings.decay_epochs)))
    )


def _warmup_stable_decay(settings: Optimisation, steps: int) -> Callable[[int], float]:
    """A straight line down over the last steps, a fifth unless `decay_steps` is set (arXiv:2405.18392).

    Until then it does not depend on the end, so a training can be continued to any length.
    """
    total = total_steps(settings, steps)
    decay = round(DECAY_SHARE * total) if settings.decay_steps is None else min(settings.decay_steps, total)
    return _warmed(settings, steps, lambda step: min(1.0, (total - step) / (decay + 1)))


def _warmed(settings: Optimisation, steps: int, after: Callable[[int], float]) -> Callable[[int], float]:
    """A straight line up to 1 over the warm-up, then `after`."""
    warm = _warm_steps(settings, steps)
    return lambda step: (step + 1) / (warm + 1) if step < warm else after(step)


def _warm_steps(settings: Optimisation, steps: int) -> int:
    total = total_steps(settings, steps)
    warm = round(settings.warmup * total) if settings.warmup_steps is None else settings.warmup_steps
    return min(warm, total - 1)


SHAPES: dict[str, Callable[[Optimisation, int], Callable[[int], float]]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "step": _step,
    "plateau": _constant,
    "warmup-stable-decay": _warmup_stable_decay,
}
