"""How a long piece of work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the number of finished items and their total."""


def no_progress(step: str, finished: int, total: int) -> None:
    """Reports nothing."""
