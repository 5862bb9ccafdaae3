"""The folder that Hugging Face expects of a model: a card, config.json, model.safetensors, and an example that runs.

`read_folder` reads it back. Its files are untrusted input, like those of a run folder.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from ruamel.yaml import YAML

from lightcnn import document
from lightcnn.baseline_spec import AnyNetwork
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import DATASET_NAMES
from lightcnn.document import Frozen
from lightcnn.errors import RunError
from lightcnn.exporting.subject import ExportedFormat, ExportSubject
from lightcnn.inference import probabilities
from lightcnn.output.caveats import NOT_FOR_DIAGNOSIS, caveats
from lightcnn.output.markdown import bullets, escape, table
from lightcnn.progress import Progress
from lightcnn.run_files import parse_json
from lightcnn.run_folder import json_bytes
from lightcnn.text import first_line, visible
from lightcnn.trained_network import TrainedNetwork
from lightcnn.version import __version__
from lightcnn.weights import read_network

FOLDER = "hub"
"""Name of the folder within the export."""
CONFIG, WEIGHTS, CARD, EXAMPLE = "config.json", "model.safetensors", "README.md", "example.py"
USE = (
    "Install lightcnn (`pip install lightcnn`), then run `python example.py IMAGE` in this folder. The example reads "
    "the files in this folder only, prepares the images itself, and needs no network access. Do not normalise or "
    "resize images before."
)
EXAMPLE_CODE = '''"""Prints the class and its probability for images: python example.py IMAGE ..."""

import sys
from pathlib import Path

from lightcnn.exporting.hub import read_folder

network = read_folder(Path(__file__).parent)
predictions = network.predict(sys.argv[1:])
for image, name, row in zip(sys.argv[1:], predictions.predictions, predictions.probabilities, strict=True):
    print(f"{image}: {name}, {row[predictions.classes.index(name)]:.4f}")
'''


class HubConfig(Frozen):
    """config.json: the network, how its images are prepared, and the names that Hugging Face reads."""

    model_type: Literal["lightcnn"] = "lightcnn"
    lightcnn: Annotated[str, Field(description="version that wrote the folder")] = __version__
    num_channels: int
    image_size: int
    id2label: dict[str, str]
    network: AnyNetwork
    preprocess: Preprocess


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes the folder `hub`, and reads it back for the comparison with PyTorch."""
    progress("writing the folder for Hugging Face", 0, 1)
    (folder / FOLDER).mkdir()
    preprocess = subject.preprocess
    config = HubConfig(
        num_channels=preprocess.channels, image_size=preprocess.size, network=subject.network.spec,
        id2label={str(index): name for index, name in enumerate(preprocess.classes)}, preprocess=preprocess,
    )  # fmt: skip
    weights = (subject.run / "weights.safetensors").read_bytes()
    files = {
        CONFIG: json_bytes(config.model_dump(mode="json")), WEIGHTS: weights, CARD: card(subject),
        EXAMPLE: EXAMPLE_CODE.encode(),
    }  # fmt: skip
    for name, content in files.items():
        (folder / FOLDER / name).write_bytes(content)
    network = read_folder(folder / FOLDER)
    return ExportedFormat(
        format="hub",
        files=tuple(f"{FOLDER}/{name}" for name in files),
        weight_bytes=sum(value.nbytes for value in network.model.state_dict().values()),
        preprocessing="nothing: lightcnn reads the folder and prepares images itself",
        probabilities=lambda images: _probabilities(network, images),
    )


def read_folder(folder: str | Path) -> TrainedNetwork:
    """The network of a folder that `lightcnn export --to hub` wrote, on the CPU.

    Args:
        folder: The folder.

    Returns:
        The network with its preprocessing; its method `predict` takes paths and arrays.

    Raises:
        InputError: If a file is missing or damaged, or the files do not fit together.

    Example:
        >>> from lightcnn.exporting.hub import read_folder
        >>> try:
        ...     read_folder("no-such-folder")
        ... except lightcnn.InputError as error:
        ...     print("missing" in str(error))
        True
    """
    path = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise RunError(f"{path / name}: is missing; export the run again with --to hub")
    config = document.validate(HubConfig, _read_json(path / CONFIG), str(path / CONFIG), {})
    preprocess, network = config.preprocess, config.network
    reads = (preprocess.channels, preprocess.size, preprocess.size)
    if reads != network.input or len(preprocess.classes) != network.classes:
        raise RunError(
            f"{path / CONFIG}: preprocess makes images {reads} of {len(preprocess.classes)} classes, the network reads "
            f"{network.input} and has {network.classes}; put back the file that the export wrote"
        )
    model = read_network(path / WEIGHTS, network).eval().requires_grad_(False)
    return TrainedNetwork(network, model.to(memory_format=torch.channels_last), preprocess)


def _read_json(path: Path) -> Any:
    """The content of a JSON file, which may be a link, as in the cache of Hugging Face. Raises: RunError."""
    try:
        return parse_json(document.read_text(path).encode())
    except ValueError as error:
        raise RunError(f"{path}: is damaged ({first_line(error)}); put back the file that the export wrote") from None


def card(subject: ExportSubject) -> bytes:
    """README.md: the metadata that Hugging Face reads, and what a user must know, UTF-8."""
    report = subject.run.report
    cost, notes = report["network"]["cost"], caveats(report["data"])
    parts = [
        f"# {escape(subject.network.spec.name or 'A network of lightcnn')}",
        f"A network with {cost['params']:,} parameters and {cost['macs']:,} multiply-adds per image that distinguishes "
        f"{len(subject.preprocess.classes):,} classes of images, trained by lightcnn {escape(report['lightcnn'])} on "
        f"{escape(_source(report))}.",
        NOT_FOR_DIAGNOSIS,
        "## Use",
        USE,
        "## Facts",
        table(("", ""), _facts(report, subject.preprocess)),
        *(["## Limits", bullets(notes)] if notes else []),
    ]
    return ("---\n" + _yaml(_metadata(subject)) + "---\n\n" + "\n\n".join(parts) + "\n").encode()


def _facts(report: Mapping[str, Any], preprocess: Preprocess) -> list[tuple[str, str]]:
    score, data = report["metrics"]["test"]["accuracy"], report["data"]
    interval = f"95 % interval {score['low']:.2%} to {score['high']:.2%}" if score["low"] is not None else "no interval"
    colour = "colour" if preprocess.channels == 3 else "greyscale"
    return [
        ("classes", ", ".join(preprocess.classes)),
        ("input", f"{preprocess.size}×{preprocess.size} pixels, {colour}"),
        ("test accuracy", f"{score['value']:.2%} ({interval})"),
        ("training images", f"{data['counts']['train']:,}"),
        ("fingerprint of the data (SHA-256)", data["fingerprint"]),
    ]


def _metadata(subject: ExportSubject) -> dict[str, Any]:
    """The card's metadata. There is no licence, since the run knows none."""
    data = subject.run.report["data"]
    return {
        "library_name": "lightcnn",
        "pipeline_tag": "image-classification",
        "tags": ["lightcnn", "image-classification", *(["stand-in-data"] if data["stand_in"] else [])],
        "metrics": ["accuracy"],
    }


def _source(report: Mapping[str, Any]) -> str:
    """The source by name: the last part of a path, since the folders concern only the machine."""
    source = str(report["data"]["source"])
    return visible(source if source.partition(":")[0] in DATASET_NAMES else Path(source).name or source)


def _yaml(values: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(values, stream)
    return stream.getvalue()


def _probabilities(network: TrainedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return probabilities(network.model, pixels, network.preprocess)
