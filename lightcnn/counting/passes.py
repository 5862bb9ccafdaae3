"""The conditions that are the same for every pass of a network: its random numbers, and no fused kernels.

`instabilities` finds what makes the outputs for one image differ all the same."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightcnn.counting.recorder import tensors_in

SAME = 1e-3
"""Largest difference of outputs, relative to the largest output, that rounding can explain."""


@contextmanager
def fixed_randomness(seed: int) -> Iterator[Callable[[], bool]]:
    """Seeds the global random numbers of Python, numpy and torch, and restores their states at the end.

    Yields a function: whether any of these random numbers has been drawn.
    """
    with keep_random_state():
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        if _uses_gpu():
            torch.cuda.manual_seed_all(seed)
        start = _states()
        yield lambda: _states() != start


@contextmanager
def keep_random_state() -> Iterator[None]:
    """Restores the global random states of Python, numpy and torch at the end."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if _uses_gpu() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


@contextmanager
def no_fused_kernels() -> Iterator[None]:
    """Makes torch run the parts of a recurrent layer or a transformer one by one, as it does without values.

    Otherwise oneDNN and cuDNN compute an LSTM, and torch a layer of a transformer, in one operator.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    flags = (torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False))
    with ExitStack() as stack:
        for flag in flags:
            stack.enter_context(_quietly(flag))
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def _quietly(flag: Any) -> Iterator[None]:
    """Enters and leaves a context of torch without the warning that this machine does not have an Intel GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flag.__enter__()
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flag.__exit__(None, None, None)


def instabilities(model: nn.Module, images: Tensor) -> list[str]:
    """Why the outputs for one image are not always the same, in one sentence; empty if they are.

    `model` is in eval mode, `images` are two or more different ones (N, C, H, W). No random state changes.
    """
    together, other = _outputs(model, images, 0), _outputs(model, images, 1)
    if _differ(together, other):
        return ["its outputs are random even in eval mode (dropout or noise): results change from run to run"]
    if _differ(together, _outputs(model, images[:1], 0)):
        cause = "its outputs for one image depend on the other images in the batch even in eval mode"
        return [f"{cause} (for example a BatchNorm without running statistics): results depend on the batch size"]
    return []


def _outputs(model: nn.Module, images: Tensor, seed: int) -> list[Tensor]:
    """What the model returns for the first of the images; nothing if it fails."""
    with torch.no_grad(), fixed_randomness(seed):
        try:
            return [out[0].double() for out in tensors_in(model(images.clone())) if out.ndim and not out.is_complex()]
        except Exception:  # any model may raise anything; who uses it reports that
            return []


def _differ(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    same_shape = [(a, b) for a, b in zip(ours, theirs, strict=False) if a.shape == b.shape and a.numel()]
    return any(float((a - b).abs().max()) > SAME * max(float(a.abs().max()), 1e-6) for a, b in same_shape)


def _states() -> tuple[Any, ...]:
    _, keys, *place = np.random.get_state()
    on_gpu = [state.tolist() for state in torch.cuda.get_rng_state_all()] if _uses_gpu() else []
    return random.getstate(), np.asarray(keys).tobytes(), place, torch.get_rng_state().tolist(), on_gpu


def _uses_gpu() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
