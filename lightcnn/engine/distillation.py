"""A trained network that another one learns from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise, restore
from lightcnn.recipe import Distillation

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601), as OpenCV and Pillow take them."""


class Teacher:
    """Sees what the student sees, augmented as it is, in its own size, channels and statistics."""

    def __init__(self, model: nn.Module, own: Preprocess, student: Preprocess, settings: Distillation) -> None:
        self.settings = settings
        self._model = model.eval().requires_grad_(False)
        self._own = own
        self._student = student

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """The student's inputs (N, C, H, W) → the teacher's logits (N, classes), or (N, 1)."""
        pixels = self._coloured(restore(inputs, self._student))
        side = (self._own.size, self._own.size)
        if pixels.shape[2:] != side:
            pixels = functional.interpolate(pixels, side, mode="bilinear", antialias=True, align_corners=False)
        ready = normalise(pixels, self._own).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._model(ready)
        return logits

    def _coloured(self, pixels: Tensor) -> Tensor:
        if pixels.shape[1] == self._own.channels:
            return pixels
        if self._own.channels == 3:
            return pixels.expand(-1, 3, -1, -1)
        shares = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
        return (pixels * shares).sum(dim=1, keepdim=True)
