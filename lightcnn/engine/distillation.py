"""Knowledge distillation: a trained network that another one learns from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise, restore
from lightcnn.recipe import Distillation

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as in OpenCV and Pillow."""


class Teacher:
    """Gets the augmented images of the student, in its own input size, channels and normalisation."""

    def __init__(self, model: nn.Module, preprocess: Preprocess, student: Preprocess, settings: Distillation) -> None:
        """`preprocess` is the preprocessing of the teacher `model`, `student` that of the student."""
        self.settings = settings
        self._model = model.eval().requires_grad_(False)
        self._preprocess = preprocess
        self._student = student

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """The student's inputs (N, C, H, W) → the teacher's logits (N, classes), or (N, 1) of a sigmoid head."""
        pixels = self._with_channels(restore(inputs, self._student))
        size = (self._preprocess.size, self._preprocess.size)
        if pixels.shape[2:] != size:
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        normalised = normalise(pixels, self._preprocess).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._model(normalised)
        return logits

    def _with_channels(self, pixels: Tensor) -> Tensor:
        """Pixels with as many channels as the teacher takes."""
        if pixels.shape[1] == self._preprocess.channels:
            return pixels
        if self._preprocess.channels == 3:
            return pixels.expand(-1, 3, -1, -1)
        shares = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
        return (pixels * shares).sum(dim=1, keepdim=True)
