"""The responses of the JSON API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from lightcnn.data.stream import PreparedImage, prepared_image
from lightcnn.errors import LightcnnError
from lightcnn.predictor import ABSTAINED, Evaluation, Predictor
from lightcnn.serving.batching import Batcher
from lightcnn.serving.explainers.explanations import Cancelled, ExplanationQueue, method_documents
from lightcnn.serving.metrics import CONTENT_TYPE, Metrics
from lightcnn.serving.openapi import LINES, document
from lightcnn.serving.settings import Limits
from lightcnn.serving.uploads import Refused, Upload, read_form
from lightcnn.unlikeness import MISMATCHES

ABSTAIN_BELOW, METHOD, TARGET = "abstain_below", "method", "target"
"""Names of fields."""
PROGRESS_SECONDS = 0.2
"""Time between two lines of progress."""


@dataclass(frozen=True, eq=False)
class Api:
    """The endpoints, and what they use."""

    predictor: Predictor
    batcher: Batcher
    explanations: ExplanationQueue
    facts: Mapping[str, Any]
    limits: Limits
    metrics: Metrics

    async def predict(self, request: Request) -> Response:
        """`POST /predict`: the class probabilities of each image."""
        form = await read_form(request, self.limits, frozenset({ABSTAIN_BELOW}))
        abstain_below = _probability(form.texts.get(ABSTAIN_BELOW, "0"))
        if abstain_below and ABSTAINED in self.predictor.classes:
            raise Refused(422, f"{ABSTAIN_BELOW}: the network has a class {ABSTAINED!r}")
        rows = await self._evaluate(form.images)
        pairs = list(zip(form.images, rows, strict=True))
        return JSONResponse(
            {
                "predictions": [self._prediction(upload.name, row, abstain_below) for upload, row in pairs],
                "classes": list(self.predictor.classes),
                "threshold": self.facts["threshold"],
                "abstain_below": abstain_below,
                "notice": self.facts["notice"],
            }
        )

    async def _evaluate(self, uploads: tuple[Upload, ...]) -> list[Evaluation]:
        """Decodes and evaluates images. Raises: Refused if one cannot be used, or too many wait."""
        self.batcher.reserve(len(uploads))
        try:
            images = [await asyncio.to_thread(self._prepare, upload) for upload in uploads]
            return await self.batcher.evaluate(images)
        finally:
            self.batcher.release(len(uploads))

    def _prepare(self, upload: Upload) -> PreparedImage[Any]:
        decoded = upload.decode(self.predictor.rule, self.limits)
        return prepared_image(decoded.pixels, self.predictor.prepare, decoded.conversion)

    def _prediction(self, name: str, row: Evaluation, abstain_below: float) -> dict[str, Any]:
        """One of the `predictions`. Raises: Refused for probabilities that are not numbers."""
        numbers = row.probabilities.tolist()
        if not all(0 <= number <= 1.0000001 for number in numbers):
            raise Refused(422, f"{name}: makes the network's numbers overflow")
        prediction = self.predictor.decide(row.probabilities, abstain_below)
        is_unlike = row.unlikeness is not None and row.unlikeness > 1
        self.metrics.images.inc()
        self.metrics.abstained.inc(prediction == ABSTAINED and abstain_below > 0)
        self.metrics.unlike.inc(is_unlike)
        return {
            "image": name,
            "prediction": prediction,
            "probabilities": dict(zip(self.predictor.classes, numbers, strict=True)),
            "unlikeness": row.unlikeness,
            "is_unlike": is_unlike,
            "differences": [MISMATCHES[each] for each in row.mismatches],
        }

    async def explain(self, request: Request) -> Response:
        """`POST /explain`: the map of one image by one method; with `Accept: application/x-ndjson`, with progress."""
        form = await read_form(request, self.limits, frozenset({METHOD, TARGET}))
        if len(form.images) != 1:
            raise Refused(422, f"send one image; {len(form.images)} were sent")
        methods = self.explanations.explainer.methods
        method = form.texts.get(METHOD, methods[0])
        if method not in methods:
            raise Refused(422, f"{METHOD}: must be one of {', '.join(methods)}")
        classes, target = self.predictor.classes, form.texts.get(TARGET)
        if target is not None and target not in classes:
            raise Refused(422, f"{TARGET}: is not a class of this network; GET /model lists them")
        (upload,) = form.images
        await asyncio.to_thread(self._prepare, upload)  # so that a damaged file is refused at once
        job = _Explanation(self, upload, method, None if target is None else classes.index(target))
        if LINES in request.headers.get("accept", ""):
            return StreamingResponse(job.lines(), media_type=LINES)
        return JSONResponse(await job.result_for(request))

    async def model(self, request: Request) -> Response:
        """`GET /model`: what the network is."""
        methods = method_documents(self.explanations.explainer.methods)
        return JSONResponse({**self.facts, "methods": methods, "limits": asdict(self.limits)})

    async def healthz(self, request: Request) -> Response:
        """`GET /healthz`: whether the server answers."""
        return JSONResponse({"status": "ok"})

    async def metrics_text(self, request: Request) -> Response:
        """`GET /metrics`: counters for Prometheus."""
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`: this API."""
        return JSONResponse(document())


class _Explanation:
    """One explanation that is computed while its client waits."""

    def __init__(self, api: Api, upload: Upload, method: str, target: int | None) -> None:
        self._api, self._arguments = api, (upload, method, target)
        self._images, self._is_cancelled = 0, False

    def _report(self, images: int) -> None:
        """Called in the thread that computes. Raises: Cancelled."""
        self._images = images
        if self._is_cancelled:
            raise Cancelled

    async def result_for(self, request: Request) -> dict[str, Any]:
        """The answer, unless the client goes before. Raises: Refused."""
        task = self._start()
        try:
            while not (await asyncio.wait([task], timeout=PROGRESS_SECONDS))[0]:
                self._is_cancelled = await request.is_disconnected()
            return task.result()
        finally:
            self._is_cancelled = True

    def _start(self) -> asyncio.Task[dict[str, Any]]:
        """Begins to compute."""
        task = asyncio.ensure_future(self._result())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the client may have gone
        return task

    async def _result(self) -> dict[str, Any]:
        """The answer. Raises: Refused if the method cannot explain the image."""
        try:
            answer = await self._api.explanations.explain(*self._arguments, self._report)
        except LightcnnError as error:
            raise Refused(422, str(error)) from None
        except Cancelled:
            raise Refused(400, "the client has gone") from None
        self._api.metrics.explanations.labels(self._arguments[1]).inc()
        return answer

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines of JSON: `{"images": N}` while it is computed, at the end `{"result": ...}` or `{"error": ...}`."""
        task = self._start()
        try:
            while not (await asyncio.wait([task], timeout=PROGRESS_SECONDS))[0]:
                yield _line({"images": self._images})
            try:
                yield _line({"result": task.result()})
            except Refused as refused:
                yield _line({"error": refused.message})
            except Exception as error:  # a bug, as in `Guard`
                yield _line({"error": f"internal error ({type(error).__name__})"})
        finally:
            self._is_cancelled = True


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _probability(text: str) -> float:
    """Raises: Refused if a text is not a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Refused(422, f"{ABSTAIN_BELOW}: must be a number from 0 to 1")
    return value
