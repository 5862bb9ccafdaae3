"""The training loop of every network that lightcnn trains."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn import interrupt
from lightcnn.data.augmentation.batch import training_batch
from lightcnn.data.images import Images
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.randomness import COLUMN, uniform
from lightcnn.engine.distillation import Lessons
from lightcnn.engine.loss_tally import Tally, count_alone
from lightcnn.engine.losses import Objective, class_weights
from lightcnn.engine.memory import is_mixed
from lightcnn.engine.state import State
from lightcnn.recipe import Augment, Optimisation


@dataclass(frozen=True)
class Epoch:
    """A finished epoch: its number from 1, mean training loss, learning rate at its end, and seconds."""

    number: int
    loss: float
    learning_rate: float
    seconds: float


def fit(
    model: nn.Module,
    images: Images,
    labels: Tensor,
    *,
    preprocess: Preprocess,
    settings: Optimisation,
    augmentation: Augment,
    seed: int,
    lessons: Lessons | None = None,
    state: State | None = None,
    until: int | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_batch: Callable[[int], None] = lambda images: None,
    paused: Callable[[], bool] | None = None,
    describe_batch: Callable[[NDArray[np.int64]], str] = count_alone,
) -> None:
    """Trains `model` in place on uint8 images (N, C, H, W) and labels (N,), all on the model's device.

    `state` is where training starts (default: the beginning). Training pauses when `until` optimizer steps are done,
    and the same call with a later `until` continues it to the same bits as without the pause. After every epoch the
    state describes `model`, `on_epoch` is called, and training ends if `state.stopped` is set. A signal ends it before
    the next batch; with `paused`, it pauses instead after the first step after which this returns True. `on_batch` gets
    the number of images of every batch, `describe_batch` puts the images of a batch into words for an error message.

    Raises: TrainingError if the loss is no longer finite.
    """
    device = next(model.parameters()).device
    state = state or State(model, settings, len(images))
    weights = class_weights(settings, labels, preprocess.classes)
    objective = Objective(settings, weights, lessons.settings if lessons else None)
    size = (preprocess.size, preprocess.size)
    mixed = is_mixed(settings, device.type)
    last = state.steps if until is None else min(until, state.steps)
    is_paused = False
    with interrupt.deferred(), own_randomness(device), limited_threads(settings.threads):
        while state.step < last and not state.stopped and not is_paused:
            model.train()
            epoch = state.epoch
            start, tally = time.perf_counter(), Tally(device, epoch + 1, describe_batch, state.part)
            for batches in state.remaining(order(len(images), seed, epoch), last):
                seed_step(seed, epoch, state.step - epoch * state.steps_per_epoch, device)
                for batch in batches:
                    if paused is None:
                        interrupt.check()
                    inputs, targets = training_batch(
                        images, labels, batch, settings=augmentation, seed=seed, epoch=epoch, preprocess=preprocess
                    )
                    taught = None
                    if lessons is not None:
                        taught = lessons.batch(batch, augmentation, seed=seed, epoch=epoch, size=size)
                    inputs = inputs.contiguous(memory_format=torch.channels_last)
                    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
                        loss = objective(model(inputs), targets, taught)
                    (loss * (len(batch) / sum(map(len, batches)))).backward()  # type: ignore[no-untyped-call]
                    tally.add(loss.detach(), batch)
                    on_batch(len(batch))
                state.update()
                if is_paused := paused is not None and paused():
                    break
            done = tally.part(time.perf_counter() - start)
            if state.end_epoch(done):
                on_epoch(Epoch(epoch + 1, done.mean(), state.learning_rate, done.seconds))


def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the images in an epoch, from (seed, epoch, index) alone."""
    # A column of its own: sorted by the number that decides about warping, an epoch would begin with all warped images.
    return np.argsort(uniform(seed, epoch, np.arange(count), [COLUMN["order"]])[:, 0], kind="stable")


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Restores the state of torch's global generators, which dropout and drop path use."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def seed_step(seed: int, epoch: int, step: int, device: torch.device) -> None:
    """Seeds torch's global generator from (seed, epoch, step in the epoch), so that every step can be repeated."""
    number = int.from_bytes(hashlib.sha256(f"{seed}/{epoch}/{step}".encode()).digest()[:8], "little") >> 1
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)


@contextmanager
def limited_threads(number: int | None) -> Iterator[None]:
    """Within the block PyTorch uses so many CPU threads; None: as many as before."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
