"""The parts of a network as the rows of a table: their settings, their sizes and their shares of the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TABLE_HEADER = ("part", "kind", "settings", "output shape", "FLOPs", "their share", "parameters", "their share")


@dataclass(frozen=True)
class Stage:
    """A part of a network: its output shape (C, H, W), empty if it returns no tensor, and its cost.

    `label` and `detail` are two short lines below its drawing, `facts` its settings in words; `skips` is the number of
    its blocks with a skip connection, and `excites` whether they have squeeze-and-excitation.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    macs: int
    params: int
    label: str = ""
    detail: str = ""
    facts: tuple[str, ...] = ()
    skips: int = 0
    excites: bool = False

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Channels, height and width; a vector has 1×1 pixels."""
        if len(self.shape) == 3:
            return self.shape[0], self.shape[1], self.shape[2]
        return (self.shape[-1] if self.shape else 1), 1, 1

    @property
    def settings(self) -> str:
        """The settings, the skip connections and the squeeze-and-excitation in words."""
        skips = f"{self.skips} skip connection" + "s" * (self.skips > 1)
        marks = [text for text, marked in ((skips, self.skips), ("squeeze-and-excitation", self.excites)) if marked]
        return ", ".join((*self.facts, *marks))


def stage_rows(stages: Sequence[Stage]) -> list[tuple[str | int, ...]]:
    """One row of `TABLE_HEADER` per stage: everything that the drawing shows."""
    macs, params = sum(stage.macs for stage in stages), sum(stage.params for stage in stages)
    return [
        (
            stage.name, stage.kind, stage.settings, "×".join(map(str, stage.shape)), stage.macs,
            format_share(stage.macs, macs), stage.params, format_share(stage.params, params),
        )
        for stage in stages
    ]  # fmt: skip


def format_share(part: int, total: int) -> str:
    """A share in whole percent; `<1 %` if that would be zero."""
    share = 100 * part / max(1, total)
    return "<1 %" if 0 < share < 0.5 else f"{share:.0f} %"
