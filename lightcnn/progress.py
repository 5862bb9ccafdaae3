"""How a long piece of work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the number of finished items and their total."""
DUPLICATES_STEP = "searching for near duplicates"
"""The step that views announce in a line that stays: it takes minutes for thousands of images."""


def no_progress(step: str, finished: int, total: int) -> None:
    """Reports nothing."""
