"""Background removal: what is not the object becomes black."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lightcnn.data.dataset import as_channels
from lightcnn.errors import InputError

SIDE = 128
"""Pixels of the longer side that GrabCut works on: its time grows faster than the picture."""
MARGIN = 0.04
"""Of each side, taken for background to begin with."""
ROUNDS = 3
LEAST, MOST = 0.05, 0.98
"""Shares of the picture outside of which the object was not found, and the image stays as it is."""


def remove(image: NDArray[np.uint8], how: str) -> NDArray[np.uint8]:
    """An image (H, W, C) with its background black, by `grabcut` or `rembg`; `none` leaves it.

    Raises: InputError where rembg or its network is not there.
    """
    if how == "none":
        return image
    mask = _grabcut(image) if how == "grabcut" else _rembg(image)
    if not LEAST <= mask.mean() <= MOST:
        return image
    return image * mask[..., None].astype(np.uint8)


def _grabcut(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004), begun with the picture's margin as background."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(as_channels(image, 3), size, interpolation=cv2.INTER_AREA)
    inset = [max(1, round(MARGIN * side)) for side in size]
    mask = np.zeros(small.shape[:2], dtype=np.uint8)
    frame = (inset[0], inset[1], size[0] - 2 * inset[0], size[1] - 2 * inset[1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # of this thread: its mixtures begin at random
    try:
        cv2.grabCut(small, mask, frame, *models, ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # a picture of one colour has no two sides
        return np.ones((height, width), dtype=np.bool_)
    found = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


def _rembg(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    remover, session = _session()
    return np.asarray(remover(np.ascontiguousarray(as_channels(image, 3)), session=session, only_mask=True)) > 127


@lru_cache(maxsize=1)
def _session() -> tuple[Any, Any]:
    try:
        from rembg import new_session
        from rembg import remove as remover
    except ImportError:
        raise InputError(
            "preprocess.background: rembg is not installed; pip install 'lightcnn[background]', or use grabcut"
        ) from None
    try:
        return remover, new_session("u2net")
    except Exception as error:  # whatever a download raises
        raise InputError(
            f"preprocess.background: rembg's network u2net cannot be loaded ({type(error).__name__}); download "
            "u2net.onnx by hand into ~/.u2net, or use grabcut"
        ) from None
