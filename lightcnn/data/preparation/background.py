"""Background removal: all pixels outside the object become black."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lightcnn.data.preparation.steps import as_channels
from lightcnn.errors import InputError

GRABCUT_PIXELS = 128
"""Longer side of the image that GrabCut works on, in pixels: its time grows faster than the number of pixels."""
MARGIN = 0.04
"""Share of each side that GrabCut takes for background at first."""
ITERATIONS = 3
MIN_OBJECT_SHARE, MAX_OBJECT_SHARE = 0.05, 0.98
"""Outside of these shares of the image, the object counts as not found, and the image is not changed."""


def remove(image: NDArray[np.uint8], method: str) -> NDArray[np.uint8]:
    """An image (H, W, C) with a black background, by `grabcut` or `rembg`; unchanged with `none`.

    Raises: InputError if rembg or its network is missing.
    """
    if method == "none":
        return image
    mask = _grabcut(image) if method == "grabcut" else _rembg(image)
    if not MIN_OBJECT_SHARE <= mask.mean() <= MAX_OBJECT_SHARE:
        return image
    return image * mask[..., None].astype(np.uint8)


def _grabcut(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The object's mask (H, W) by GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004)."""
    height, width = image.shape[:2]
    scale = min(1.0, GRABCUT_PIXELS / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(as_channels(image, 3), size, interpolation=cv2.INTER_AREA)
    margins = [max(1, round(MARGIN * side)) for side in size]
    mask = np.zeros(small.shape[:2], dtype=np.uint8)
    rectangle = (margins[0], margins[1], size[0] - 2 * margins[0], size[1] - 2 * margins[1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # of this thread: GrabCut initialises its mixtures at random
    try:
        cv2.grabCut(small, mask, rectangle, *models, ITERATIONS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # an image of a single colour cannot be separated
        return np.ones((height, width), dtype=np.bool_)
    foreground = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return np.asarray(cv2.resize(foreground, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


def _rembg(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The object's mask (H, W) by the network of rembg. Raises: InputError."""
    remover, session = _session()
    return np.asarray(remover(np.ascontiguousarray(as_channels(image, 3)), session=session, only_mask=True)) > 127


@lru_cache(maxsize=1)
def _session() -> tuple[Any, Any]:
    """rembg's function and its loaded network. Raises: InputError."""
    try:
        from rembg import new_session
        from rembg import remove as remover
    except ImportError:
        raise InputError(
            "preprocess.background: rembg is not installed; pip install 'lightcnn[background]', or use grabcut"
        ) from None
    try:
        return remover, new_session("u2net")
    except Exception as error:  # a download can raise any error
        raise InputError(
            f"preprocess.background: rembg's network u2net cannot be loaded ({type(error).__name__}); download "
            "u2net.onnx by hand into ~/.u2net, or use grabcut"
        ) from None
