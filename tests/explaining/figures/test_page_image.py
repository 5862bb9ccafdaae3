"""What the page shows of an explained image."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.page_image import page_image
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.explaining.images.projection import Frame
from lightcnn.explaining.methods.attribution import Attribution

PIXELS = np.full((8, 8, 1), 90, np.uint8)


def explanation(method: str, values: np.ndarray) -> Explanation:
    """An explanation without checks."""
    attribution = Attribution(method, values.astype(np.float32), None, {}, (), None)
    return Explanation("a", "cat", 0, "cat", 0.9, attribution, {}, 1.0, PIXELS)


def test_layers_masks_and_reasons() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    pixels = torch.full((1, 8, 8), 90, dtype=torch.uint8)
    image = ExplainedImage("a", pixels, Frame(8, 8, 8), 1, lambda: (PIXELS, (8, 8)), mask=mask)
    panel = io.BytesIO()
    Image.new("RGB", (30, 20), "white").save(panel, format="PNG")
    shown = page_image(image, [explanation("ig", np.eye(8)), explanation("gradcam", -np.eye(8))], panel.getvalue())
    assert shown.layers.keys() == {"ig"} and shown.empty.keys() == {"gradcam"} and shown.curves is None
    layer = np.asarray(Image.open(io.BytesIO(shown.layers["ig"])))
    assert layer.shape == (shown.height, shown.width, 4)
    assert layer[5, 5, 3] > 150 and layer[5, -5, 3] == 0, "opaque on the diagonal only"
    assert shown.mask is not None
    outline = np.asarray(Image.open(io.BytesIO(shown.mask)))
    assert {tuple(colour) for colour in outline.reshape(-1, 4).tolist()} == {(0, 0, 0, 0), (0, 114, 178, 255)}
    assert Image.open(io.BytesIO(shown.photograph)).size == (shown.width, shown.height)
    assert Image.open(io.BytesIO(shown.panel)).size == (30, 20)
