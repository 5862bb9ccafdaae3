"""Maps without information, or with their values in the wrong place: warnings that must be shown next to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.explaining.explained import Explained, Inputs

CONSTANT_SHARE = 1e-6
"""A map that varies by less than this share of its largest magnitude is constant up to rounding."""
BORDER_SHARE, MAX_BORDER_RATIO = 0.05, 3.0
"""Width of the border as a share of height and width; ratio of energy to area above which a warning is given."""
BLACK_SHARE, MIN_BLACK_AREA = 0.03, 0.01
"""Share of the brightest value up to which a pixel is black, because CLAHE brightens black padding; black area from
which the check is made."""
RULE = (
    "finite, not constant and above 0 somewhere; the share of the energy above 0 in the outer "
    f"{100 * BORDER_SHARE:g} % of height and width is at most {MAX_BORDER_RATIO:g} times their share of the area, and "
    "the share on black pixels is below theirs"
)
WARNINGS = {
    "nonfinite": "the map has values that are not finite",
    "zero": "the map is 0 everywhere",
    "constant": "the map is constant",
    "negative": "the map is nowhere above 0: nothing supports the class",
    "border": "the map is concentrated on the border of the image",
    "background": "the map is concentrated on black background",
}


def missing_order(values: NDArray[np.floating[Any]]) -> str | None:
    """Why a map (H, W) does not order the pixels: a key of `WARNINGS`; None if it does."""
    if not np.isfinite(values).all():
        return "nonfinite"
    if not values.any():
        return "zero"
    return "constant" if np.ptp(values) <= CONSTANT_SHARE * np.abs(values).max() else None


def energy(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The values above 0 as shares (H, W) of their sum; 0 everywhere if there are none, or a value is not finite."""
    above = np.maximum(values.astype(np.float64), 0)
    total = float(above.sum()) if np.isfinite(values).all() else 0.0
    return above / total if total > 0 else np.zeros_like(above)


def check_map(values: NDArray[np.float32], explained: Explained, inputs: Inputs) -> dict[str, Any]:
    """The check `map` of a map (H, W) of an image (1, C, H, W): warnings, and energy and area of border and black."""
    shares, border = energy(values), border_mask(*values.shape)
    dark = black_mask(explained, inputs)
    on_border, on_black = float(shares[border].sum()), float(shares[dark].sum())
    warnings = [why] if (why := missing_order(values)) else []
    if not warnings and not shares.any():
        warnings.append("negative")
    if shares.any() and why is None:
        warnings += ["border"] if on_border > MAX_BORDER_RATIO * border.mean() else []
        warnings += ["background"] if dark.mean() >= MIN_BLACK_AREA and on_black >= dark.mean() else []
    return {
        "value": None,
        "passed": not warnings,
        "rule": RULE,
        "says": "; ".join(WARNINGS[warning] for warning in warnings),
        "warnings": warnings,
        "border": {"energy": on_border, "area": float(border.mean())},
        "background": {"energy": on_black, "area": float(dark.mean())},
    }


def border_mask(height: int, width: int) -> NDArray[np.bool_]:
    """The border of an image (H, W), at least one pixel wide."""
    inside = np.zeros((height, width), dtype=np.bool_)
    down, right = (max(1, round(BORDER_SHARE * length)) for length in (height, width))
    inside[down : height - down, right : width - right] = True
    return ~inside


def black_mask(explained: Explained, inputs: Inputs) -> NDArray[np.bool_]:
    """The black pixels (H, W) of an image (1, C, H, W); none in an image with negative pixels, which has no black."""
    pixels = explained.pixels_of(inputs)
    bound = BLACK_SHARE * float(pixels.max())
    if bound <= 0 or float(pixels.min()) < -bound:
        return np.zeros(pixels.shape[1:], dtype=np.bool_)
    return np.asarray((pixels <= bound).all(axis=0))
