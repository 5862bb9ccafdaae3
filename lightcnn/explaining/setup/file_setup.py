"""From the settings of `lightcnn explain` to an exported file and its methods. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.stream import PreparedImage
from lightcnn.errors import InputError
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_file import ExplainedFile, file_reading
from lightcnn.explaining.explanation import Explainer
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.explaining.images.masks import MaskFolder
from lightcnn.explaining.images.selection import Selection
from lightcnn.explaining.methods.catalogue import make_method
from lightcnn.explaining.settings import ExplainSettings, find_target, require_level
from lightcnn.explaining.setup.explain_setup import ExplainSetup
from lightcnn.exported_model import ExportedModel
from lightcnn.foreign_model import ForeignModel, read_labels
from lightcnn.open_predictor import open_file_predictor
from lightcnn.predictor import Evaluation
from lightcnn.progress import Progress


@dataclass(frozen=True, eq=False)
class FileSetup(ExplainSetup):
    """An exported file."""

    model: ExportedModel | ForeignModel

    @property
    def notes(self) -> Sequence[str]:
        """What was assumed about a file that does not state it."""
        return [self.model.note] if self.model.note else []

    def evaluation(self, image: ExplainedImage) -> Evaluation:
        """How unlike the training images an image is, and what differs from them. Raises: LightcnnError."""
        return self.model.evaluate([PreparedImage(image.seen, image.channels, image.frame.shorter_side, Conversion())])[
            0
        ]

    def test_images(self, settings: ExplainSettings, masks: MaskFolder | None, progress: Progress) -> Selection:
        """Raises: InputError, since a file states no data."""
        raise InputError(f"{self.path}: an exported file has no test set; give images, or the run folder")


def prepare_file(settings: ExplainSettings) -> FileSetup:
    """Opens the file. Raises: InputError if the file, a method or the class cannot be used."""
    level = require_level(settings.checks)
    labels = None if settings.labels is None else read_labels(settings.labels)
    model = open_file_predictor(settings.run, device=settings.device, labels=labels, input=settings.input)
    explained = ExplainedFile(model, batch=settings.batch)
    methods = [make_method(name, settings.options) for name in settings.unique_methods]
    data = model.metadata.data if isinstance(model, ExportedModel) else {}
    return FileSetup(
        path=settings.run, digests={"file": _sha256(settings.run)},
        network=None, rule=model.rule, reading=file_reading(model),
        explainer=Explainer(explained, methods, Checker(explained, level=level, seed=settings.options.seed)),
        target=find_target(model.classes, settings.target),
        stand_in=data.get("stand_in") is True, device="cpu", model=model,
    )  # fmt: skip


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
