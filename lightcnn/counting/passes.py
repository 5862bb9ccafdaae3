"""The conditions that are the same for every pass of a network: its random numbers, and no fused kernels."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch


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


def _states() -> tuple[Any, ...]:
    _, keys, *place = np.random.get_state()
    on_gpu = [state.tolist() for state in torch.cuda.get_rng_state_all()] if _uses_gpu() else []
    return random.getstate(), np.asarray(keys).tobytes(), place, torch.get_rng_state().tolist(), on_gpu


def _uses_gpu() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
