"""One way to open what predicts: the folder of a run, or an ONNX file. torch is loaded for a run only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightcnn.errors import InputError
from lightcnn.exported_metadata import is_exported
from lightcnn.predictor import Predictor

if TYPE_CHECKING:
    from lightcnn.exported_model import ExportedModel
    from lightcnn.foreign_model import ForeignModel


def open_predictor(
    path: str | Path,
    *,
    device: str = "auto",
    labels: Sequence[str] | None = None,
    input: tuple[int, int, int] | None = None,
) -> Predictor:
    """Opens a run or an exported file.

    Args:
        path: The folder of a finished run, or an ONNX file.
        device: Device of the network of a run; ONNX files run on the CPU.
        labels: Class names of an ONNX file that lightcnn did not write.
        input: Input size (C, H, W) of such a file.

    Raises:
        InputError: If the run or the file cannot be used.

    Example:
        >>> from lightcnn.open_predictor import open_predictor
        >>> open_predictor("model.onnx")
        Traceback (most recent call last):
        lightcnn.errors.InputError: model.onnx: cannot be read (No such file or directory)
    """
    path = Path(path)
    if not is_exported(path):
        if labels is not None or input is not None:
            raise InputError(f"--labels, --input: {path} is a run, which states both; leave them out")
        from lightcnn.run_folder import RunFolder
        from lightcnn.trained_network import TrainedNetwork

        return TrainedNetwork.load(RunFolder.load(path), device=device)
    return open_file_predictor(path, device=device, labels=labels, input=input)


def open_file_predictor(
    path: Path, *, device: str, labels: Sequence[str] | None, input: tuple[int, int, int] | None
) -> ExportedModel | ForeignModel:
    """The same for an ONNX file. Raises: InputError."""
    if device not in ("auto", "cpu"):
        raise InputError(f"--device {device}: exported files run on the CPU; leave it out, or give the run folder")
    if labels is None and input is None:
        from lightcnn.exported_model import ExportedModel

        return ExportedModel(path)
    return _foreign(path, labels, input)


def _foreign(path: Path, labels: Sequence[str] | None, input: tuple[int, int, int] | None) -> ForeignModel:
    from lightcnn.exported_metadata import METADATA_KEY
    from lightcnn.foreign_model import ForeignModel
    from lightcnn.onnxfiles.runtime import open_file

    if METADATA_KEY in open_file(path, 0).get_modelmeta().custom_metadata_map:
        raise InputError(f"--labels, --input: {path} states both in its metadata; leave them out")
    if labels is None or input is None:
        missing = "--labels FILE" if labels is None else "--input CxHxW"
        raise InputError(f"{path}: has no metadata of lightcnn; give {missing} as well")
    return ForeignModel(path, labels, input)
