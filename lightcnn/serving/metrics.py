"""Counters for `GET /metrics`: of requests and images, never of what they hold."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter("lightcnn_requests", "Requests", ["path", "status"], registry=registry)
        self.seconds = Histogram("lightcnn_request_seconds", "Seconds until the answer", ["path"], registry=registry)
        self.images = Counter("lightcnn_images", "Images predicted", registry=registry)
        self.abstained = Counter("lightcnn_images_abstained", "Images without a predicted class", registry=registry)
        self.unlike = Counter("lightcnn_images_unlike", "Images unlike the training images", registry=registry)
        self.batch = Histogram("lightcnn_batch_images", "Images that go through the network at once", registry=registry,
                               buckets=(1, 2, 4, 8))  # fmt: skip
        self.explanations = Counter("lightcnn_explanations", "Explanations", ["method"], registry=registry)
        self.running = Gauge("lightcnn_requests_running", "Requests in progress", registry=registry)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)
