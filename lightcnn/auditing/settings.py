"""What an audit was asked to do, and what it looks for. No torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticKnownError

from lightcnn.document import Frozen
from lightcnn.output.warnings import WarningCode
from lightcnn.recipe import PRESETS, Reading

FINDINGS = {
    "cross_class": "clusters under more than one class",
    "cross_split": "groups in more than one set of the given split",
    "exact_duplicates": "clusters of identical pixels",
    "near_duplicates": "clusters of near duplicates",
}
"""Every kind of cluster that an audit reports, by its key in report.json, most severe first, with its title."""
VERDICT_WARNINGS: tuple[WarningCode, ...] = (
    "stand_in",
    "files_skipped",
    "one_colour_images",
    "near_duplicates_not_searched",
)
"""Warnings that the verdict of an audit states in its own words."""


class AuditSettings(Frozen):
    """The input of `lightcnn audit`; a run folder holds it as audit.yaml."""

    source: Annotated[str, Field(description="the data set: a folder, a .csv, .tar shards, a .npz, or a name")]
    reading: Annotated[Reading, Field(description="how the source is read; files that cannot be read are listed")] = (
        Reading()
    )
    fast: Annotated[bool, Field(description="do not search for near duplicates")] = False
    augment: Annotated[str | None, Field(description="augmentation preset to show on some of the images")] = None

    @field_validator("augment")
    @classmethod
    def _require_known(cls, augment: str | None) -> str | None:
        """Raises: PydanticKnownError if there is no such preset."""
        if augment is not None and augment not in PRESETS:
            raise PydanticKnownError("literal_error", {"expected": ", ".join(PRESETS)})
        return augment
