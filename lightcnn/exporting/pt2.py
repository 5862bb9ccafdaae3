"""A program of torch.export (`.pt2`), with normalisation and softmax in it. Needs torch only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.counting.copies import eval_copy
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import mean_and_deviation
from lightcnn.errors import LightcnnError
from lightcnn.exporting.subject import ExportedFormat, ExportSubject
from lightcnn.inference import class_probabilities
from lightcnn.progress import Progress
from lightcnn.text import first_line

FILE = "model.pt2"
"""Name of the file within the export."""
EXAMPLE_IMAGES = 2
"""Images of the example from which torch exports: with one, it would fix the number of images."""

NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")
"""What torch notes of an operator's origin, such as the paths of source files on this machine."""


class ImageClassifier(nn.Module):
    """From pixels, uint8 (N, S, S, C), to class probabilities, float64 (N, classes), with the run's temperature."""

    def __init__(self, model: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        # torch.export.save expects tensors whose elements are in their storage in order.
        self.model, self.temperature = model.to(memory_format=torch.contiguous_format), preprocess.temperature
        mean, deviation = mean_and_deviation(preprocess, torch.device("cpu"))
        self.mean, self.deviation = nn.Buffer(mean.clone()), nn.Buffer(deviation.clone())

    def forward(self, pixels: Tensor) -> Tensor:
        normalised = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        return class_probabilities(self.model(normalised), self.temperature)


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes the program, and reads it back for the comparison with PyTorch. Raises: LightcnnError."""
    progress("exporting with torch.export", 0, 1)
    preprocess = subject.preprocess
    size = preprocess.size
    classifier = ImageClassifier(eval_copy(subject.deployed), preprocess).eval()
    example = torch.zeros(EXAMPLE_IMAGES, size, size, preprocess.channels, dtype=torch.uint8)
    try:
        with torch.no_grad():
            program = torch.export.export(classifier, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        for node in program.graph.nodes:
            node.meta = {name: node.meta[name] for name in node.meta if name not in NOTES}
        torch.export.save(program, folder / FILE)
        loaded = torch.export.load(folder / FILE).module()
    except Exception as error:  # torch's exporter may raise anything
        raise LightcnnError(f"pt2: torch.export cannot export the network: {first_line(error)}") from error
    return ExportedFormat(
        format="pt2",
        files=(FILE,),
        weight_bytes=sum(value.nbytes for value in subject.deployed.state_dict().values()),
        preprocessing=f"resize to {size}×{size} pixels; do not normalise",
        probabilities=lambda images: _run(loaded, images),
    )


def _run(program: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return np.asarray(program(torch.from_numpy(np.ascontiguousarray(images))).numpy())
