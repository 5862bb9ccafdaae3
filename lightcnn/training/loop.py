"""One training from scratch: the loop that every network here goes through."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.batch import training_batch
from lightcnn.data.draws import COLUMN, uniform
from lightcnn.data.images import Images
from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import TrainingError
from lightcnn.recipe import Augment, Optimisation


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: its number from 1, mean training loss, learning rate at its end, seconds."""

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
    watch: Callable[[Epoch], None] = lambda epoch: None,
) -> None:
    """Trains `model` in place on uint8 images (N, C, H, W) and labels (N,), all on the model's device.

    `watch` is called after every epoch. Raises: TrainingError where the loss is no longer finite.
    """
    device = next(model.parameters()).device
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_parameter_groups(model, settings.weight_decay), lr=settings.learning_rate)
    batches = math.ceil(len(images) / settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, one_cycle(settings.epochs * batches, settings.warmup))
    loss_function = _loss(model, settings.label_smoothing)
    for epoch in range(settings.epochs):
        model.train()
        # Dropout and drop path draw from the global generator; the caller's state is given back.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed * 1_000_003 + epoch)
            start, total = time.perf_counter(), torch.zeros((), device=device)
            for batch in np.array_split(order(len(images), seed, epoch), batches):
                inputs, targets = training_batch(
                    images, labels, batch, settings=augmentation, seed=seed, epoch=epoch, preprocess=preprocess
                )
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                    loss = loss_function(model(inputs.contiguous(memory_format=torch.channels_last)), targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(batch)
        mean = total.item() / len(images)
        if not math.isfinite(mean):
            raise TrainingError(f"the loss became {mean} in epoch {epoch + 1}; lower training.learning_rate")
        watch(Epoch(epoch + 1, mean, float(schedule.get_last_lr()[0]), time.perf_counter() - start))


def one_cycle(steps: int, warmup: float) -> Callable[[int], float]:
    """Share of the highest learning rate at a step: a cosine up from 1/25, then one down to nearly nothing."""

    def share(step: int) -> float:
        done = step / steps
        if done < warmup:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warmup)) / 2
        return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2

    return share


def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch meets the images: from (seed, epoch, index) alone."""
    # Its own column: sorted by the draw that chooses whom to warp, an epoch would begin with all warped images.
    return np.argsort(uniform(seed, epoch, np.arange(count), COLUMN["order"] + 1)[:, -1], kind="stable")


def _parameter_groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay on the weights of convolutions and dense layers; none on norms and biases."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def _loss(model: nn.Module, smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy for one logit a class; binary cross-entropy for a single logit. Targets as of `training_batch`."""
    spec = getattr(model, "spec", None)
    if spec is not None and spec.logits == 1:

        def binary(logits: Tensor, targets: Tensor) -> Tensor:
            positive = targets[:, 1] if targets.ndim == 2 else targets.float()
            target = positive * (1 - smoothing) + smoothing / 2
            return nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), target)

        return binary
    return nn.CrossEntropyLoss(label_smoothing=smoothing)
