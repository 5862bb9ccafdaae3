"""Explains one uploaded image by one method at a time, in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.panels import Canvas, overlay_map
from lightcnn.explaining.methods.catalogue import METHODS, title_of, unit_of
from lightcnn.explaining.terminal import format_check, ordered_checks
from lightcnn.serving.uploads import Refused, Upload

AT_ONCE = "gradcam"
"""The method that the page asks for with every prediction: it needs one pass through the network."""
EXPECTED_IMAGES = {"gradcam": 300, "gradcam++": 300, "layercam": 300, "ig": 400, "lime": 2300, "occlusion": 500}
"""About how many images go through the network for a method and its checks, by which the page shows the progress."""
OVERLAY_PIXELS = 768
"""Longer side of an overlay in pixels: more than the page shows."""
Report = Callable[[int], None]
"""Gets the number of images that went through the network."""


class Cancelled(Exception):  # noqa: N818 (the client no longer waits)
    """The client has gone."""


class ImageExplainer(ABC):
    """Explains uploaded images by the methods that the network allows."""

    methods: tuple[str, ...] = ()

    @abstractmethod
    def explain(self, upload: Upload, method: str, target: int | None, report: Report) -> dict[str, Any]:
        """The answer to `POST /explain`. Raises: LightcnnError if the method cannot explain the image."""


class ExplanationQueue:
    """Computes one explanation after the other; at most `limit` are computed or wait."""

    def __init__(self, explainer: ImageExplainer, limit: int) -> None:
        self.explainer = explainer
        self._limit, self._count = limit, 0
        self._pool = ThreadPoolExecutor(1, "explain")

    async def explain(self, upload: Upload, method: str, target: int | None, report: Report) -> dict[str, Any]:
        """The explanation. Raises: Refused if too many wait; LightcnnError."""
        if self._count >= self._limit:
            raise Refused(503, f"{self._count} explanations are waiting", retry_after=5)
        self._count += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, self.explainer.explain, upload, method, target, report
            )
        finally:
            self._count -= 1

    async def stop(self) -> None:
        """Returns when all explanations are computed."""
        await asyncio.to_thread(self._pool.shutdown)


def method_documents(methods: tuple[str, ...]) -> list[dict[str, Any]]:
    """What `GET /model` states about the methods."""
    return [
        {"name": name, "title": METHODS[name].title, "at_once": name == AT_ONCE, "images": EXPECTED_IMAGES[name]}
        for name in methods
    ]


def explanation_document(explanation: Explanation, canvas: Canvas) -> dict[str, Any]:
    """An explanation as `POST /explain` answers it, with the map over the image."""
    method = explanation.attribution.method
    return {
        "image": explanation.image,
        "method": method,
        "title": title_of(method),
        "unit": unit_of(method),
        "layer": explanation.attribution.layer,
        "target": explanation.target,
        "prediction": explanation.prediction,
        "probability": explanation.probability,
        "checks": [
            {"name": name, "passed": check["passed"], "text": _text(name, check), "rule": check["rule"]}
            for name, check in ordered_checks(explanation.checks)
        ],
        "notes": list(explanation.attribution.notes),
        "overlay": _png_text(overlay_map(canvas, explanation)),
        "seconds": round(explanation.seconds, 3),
    }


def _text(name: str, check: Mapping[str, Any]) -> str:
    """A check in one line, without the mark of its verdict."""
    return format_check(name, check).partition(" ")[2]


def _png_text(pixels: NDArray[np.uint8]) -> str:
    """Pixels (H, W, 3) as a PNG file in base64."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=3)
    return base64.b64encode(stream.getvalue()).decode()


def shown_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (H, W, 1 or 3), reduced to the size of an overlay."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((OVERLAY_PIXELS, OVERLAY_PIXELS), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, -1)
