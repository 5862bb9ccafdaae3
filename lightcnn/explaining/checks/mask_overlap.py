"""Whether a map lies where somebody who knows has marked the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lightcnn.errors import InputError
from lightcnn.explaining.checks.map_sanity import WORDS, energy

RATIO, MOST = 1.5, 0.5
"""Energy in the mask over its area, at least; share of the image above which a mask is too large to tell anything."""
TOLERANCE = 15 / 224
"""Of the longer side, by which the highest point may miss (Zhang et al., arXiv:1608.00507: 15 pixels of about 224)."""
RULE = (
    f"at least {RATIO:g} times as much of the energy above 0 in the mask as of the area, and the highest point in it "
    f"or within {100 * TOLERANCE:.1f} % of a side"
)


def inside(found: NDArray[np.float32], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The check `mask` of a map (H, W): the share of its energy in the mask (H, W), and the pointing game.

    Of a plateau of highest points, half must hit. Raises: InputError for a mask of another size.
    """
    if mask.shape != found.shape:
        raise InputError(f"mask: {mask.shape} does not fit a map of {found.shape}; give (height, width) of the input")
    covered = float(mask.mean())
    result: dict[str, Any] = {"value": None, "passed": None, "rule": RULE, "says": "", "area": covered}
    result |= {"ratio": None, "pointing": None}
    if not 0 < covered <= MOST:
        return result | {"says": f"the mask is {'empty' if not covered else 'over half of the image'}"}
    shares = energy(found)
    if not shares.any():
        why = "negative" if np.isfinite(found).all() else "nonfinite"
        return result | {"passed": False, "says": WORDS[why]}
    share = float(shares[mask].sum())
    near = ndimage.distance_transform_edt(~mask) <= TOLERANCE * max(mask.shape)
    pointing = bool(near[found == found.max()].mean() >= 0.5)
    ratio = share / covered
    return result | {"value": share, "passed": ratio >= RATIO and pointing, "ratio": ratio, "pointing": pointing}
