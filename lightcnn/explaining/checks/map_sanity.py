"""Maps that say nothing, or that say it in the wrong place: what must stand beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.explaining.explained_network import ExplainedNetwork

FLAT = 1e-6
"""Of its largest magnitude: a map that varies by less is rounding, and the same everywhere."""
FRAME, CROWDED = 0.05, 3.0
"""Share of a side that the border takes on each edge, and times its area from which its energy is told."""
BLACK, SEEN = 0.03, 0.01
"""Of the brightest value, for what CLAHE leaves of a black that was padded or cut out; area from which it is judged."""
RULE = (
    "finite, neither the same everywhere nor nowhere above 0; of the energy above 0, at most "
    f"{CROWDED:g} times the area's share in the outer {100 * FRAME:g} % of each side, and on black less than its area"
)
WORDS = {
    "nonfinite": "the map has numbers that are not finite",
    "zero": "the map is 0 everywhere",
    "constant": "the map is the same everywhere",
    "negative": "the map is nowhere above 0: nothing speaks for the class",
    "border": "the map sits on the border of the image",
    "background": "the map sits on black background",
}


def fault(found: NDArray[np.floating[Any]]) -> str | None:
    """Why a map (H, W) puts no pixel before another: a key of `WORDS`; None where it does."""
    if not np.isfinite(found).all():
        return "nonfinite"
    if not found.any():
        return "zero"
    return "constant" if np.ptp(found) <= FLAT * np.abs(found).max() else None


def energy(found: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """What speaks for the class, as shares (H, W) of 1; all 0 where nothing does or a number is not finite."""
    above = np.maximum(found.astype(np.float64), 0)
    total = float(above.sum()) if np.isfinite(found).all() else 0.0
    return above / total if total > 0 else np.zeros_like(above)


def shape_of(found: NDArray[np.float32], explained: ExplainedNetwork, inputs: Tensor) -> dict[str, Any]:
    """The check `map` of a map (H, W) of an image (1, C, H, W): warnings, and shares of border and background."""
    shares, border = energy(found), frame(*found.shape)
    dark = black(explained, inputs)
    on_border, on_black = float(shares[border].sum()), float(shares[dark].sum())
    warnings = [why] if (why := fault(found)) else []
    if not warnings and not shares.any():
        warnings.append("negative")
    if shares.any() and why is None:
        warnings += ["border"] if on_border > CROWDED * border.mean() else []
        warnings += ["background"] if dark.mean() >= SEEN and on_black >= dark.mean() else []
    return {
        "value": None,
        "passed": not warnings,
        "rule": RULE,
        "says": "; ".join(WORDS[warning] for warning in warnings),
        "warnings": warnings,
        "border": {"energy": on_border, "area": float(border.mean())},
        "background": {"energy": on_black, "area": float(dark.mean())},
    }


def frame(height: int, width: int) -> NDArray[np.bool_]:
    """Where the border (H, W) is: at least one pixel wide."""
    inside = np.zeros((height, width), dtype=np.bool_)
    down, right = (max(1, round(FRAME * side)) for side in (height, width))
    inside[down : height - down, right : width - right] = True
    return ~inside


def black(explained: ExplainedNetwork, inputs: Tensor) -> NDArray[np.bool_]:
    """Where an image (1, C, H, W) is black (H, W); nowhere in one with negative pixels, which has no black."""
    pixels = explained.pixels(inputs)[0]
    bound = BLACK * float(pixels.max())
    if bound <= 0 or float(pixels.min()) < -bound:
        return np.zeros(tuple(pixels.shape[1:]), dtype=np.bool_)
    return np.asarray((pixels <= bound).all(dim=0).cpu().numpy())
