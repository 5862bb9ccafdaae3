"""Whether a map lies where an expert has marked the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lightcnn.errors import InputError
from lightcnn.explaining.checks.map_sanity import WARNINGS, energy

MIN_RATIO, MAX_AREA = 1.5, 0.5
"""Minimum share of the energy in the mask over the mask's share of the area; largest mask that is informative."""
TOLERANCE = 15 / 224
"""Distance by which the highest point may miss the mask, as a share of the larger of height and width.

Zhang et al. (arXiv:1608.00507) allow 15 pixels of about 224."""
RULE = (
    f"the mask has at least {MIN_RATIO:g} times as large a share of the energy above 0 as of the area, and the highest "
    f"point lies in it or within {100 * TOLERANCE:.1f} % of the longer of height and width"
)


def check_mask(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The check `mask` of a map (H, W): the share of its energy in the mask (H, W), and the pointing game.

    If several points are the highest, half of them must hit. Raises: InputError for a mask of another size.
    """
    if mask.shape != values.shape:
        raise InputError(f"mask: {mask.shape} does not fit a map of {values.shape}; give (height, width) of the input")
    covered = float(mask.mean())
    result: dict[str, Any] = {"value": None, "passed": None, "rule": RULE, "says": "", "area": covered}
    result |= {"ratio": None, "pointing": None}
    if not 0 < covered <= MAX_AREA:
        return result | {"says": f"the mask {'is empty' if not covered else 'covers more than half of the image'}"}
    shares = energy(values)
    if not shares.any():
        why = "negative" if np.isfinite(values).all() else "nonfinite"
        return result | {"passed": False, "says": WARNINGS[why]}
    share = float(shares[mask].sum())
    near = ndimage.distance_transform_edt(~mask) <= TOLERANCE * max(mask.shape)
    pointing = bool(near[values == values.max()].mean() >= 0.5)
    ratio = share / covered
    return result | {"value": share, "passed": ratio >= MIN_RATIO and pointing, "ratio": ratio, "pointing": pointing}
