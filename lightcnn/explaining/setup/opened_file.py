"""Opens an exported file for `lightcnn.explain`. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lightcnn.explaining.explained_file import ExplainedFile, file_reading
from lightcnn.explaining.methods.catalogue import MODEL_FREE_METHODS
from lightcnn.explaining.settings import CheckLevel, require_of_file
from lightcnn.explaining.setup.opened_model import Mask, OpenedModel, Subject
from lightcnn.exported_model import ExportedModel
from lightcnn.foreign_model import ForeignModel
from lightcnn.open_predictor import open_file_predictor


@dataclass(frozen=True, eq=False)
class OpenedFile(OpenedModel):
    """An exported file, which is explained by methods that need predictions only."""

    model: ExportedModel | ForeignModel
    default_methods: ClassVar[tuple[str, ...]] = MODEL_FREE_METHODS

    @property
    def note(self) -> str:
        """What is assumed about a file that lightcnn did not write."""
        return self.model.note

    def subject(self, name: str, image: Any, mask: Mask | None) -> Subject:
        """A path or an array uint8 (H, W, C), prepared. Raises: DataError if it or its mask cannot be used."""
        return self._subject_of_pixels(name, image, mask, file_reading(self.model))


def open_file(
    model: ExportedModel | ForeignModel | Path,
    *,
    methods: Sequence[str],
    layer: str | None,
    level: CheckLevel,
    batch: int | None,
    device: str,
) -> OpenedFile:
    """Opens a file. Raises: InputError if it cannot be used, or does not give what a method or check needs."""
    path = model if isinstance(model, Path) else model.path
    require_of_file(path, methods=methods, layer=layer, level=level)
    opened = open_file_predictor(model, device=device, labels=None, input=None) if isinstance(model, Path) else model
    return OpenedFile(ExplainedFile(opened, batch=batch), opened)
