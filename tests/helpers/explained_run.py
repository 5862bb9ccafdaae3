"""A small trained run with its photographs and masks, and networks without a run, for the tests of explaining."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lightcnn
from lightcnn.data.sources.lesion_painter import paint_lesions

FAST = ["--device", "cpu", "--samples", "40", "--segments", "8"]
"""Options of `lightcnn explain` that make it quick."""
RECIPE = """\
name: tiny
data: photos
network:
  input: [3, 16, 16]
  stem: [{kind: conv, width: 8, kernel: 3}]
  stages: [{kind: conv, width: 8, kernel: 3}]
  classes: 2
training: {epochs: 2, batch: 8}
preprocess: {fit: crop}
"""


def make_run_folder(root: Path) -> Path:
    """Writes `photos` in class folders, their `masks`, `recipe.yaml`, and the finished `run` of a training on them."""
    lesions = paint_lesions(count=60, size=40)
    (root / "masks").mkdir()
    for index, image in enumerate(lesions.images):
        file = root / "photos" / lesions.classes[lesions.labels[index]] / f"p{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((60, 40)).save(file)
        Image.fromarray(lesions.masks[index].astype(np.uint8)).resize((60, 40)).save(root / "masks" / file.name)
    (root / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        lightcnn.train("recipe.yaml", out="run", device="cpu")
    return root


def photographs(root: Path = Path()) -> list[Path]:
    """The photographs of `make_run_folder`."""
    return sorted((root / "photos").rglob("*.png"))


def three_class_network() -> nn.Sequential:
    """A small network in training mode with an in-place activation."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


class Flat(nn.Module):
    """A network without any map."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 16 * 16, 2)

    def forward(self, x):
        return self.linear(x.flatten(1))
