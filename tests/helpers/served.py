"""A server in a thread, and requests to it over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lightcnn.serving.api import Api
from lightcnn.serving.job import make_server
from lightcnn.serving.settings import ServeSettings

BOUNDARY = "a0b1c2d3e4f5"
File = tuple[str, bytes]


@dataclass(frozen=True)
class Answer:
    """The response of the server."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Client:
    """Sends requests to a server on this machine."""

    port: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request; underscores in names of headers are hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def send(self, path: str, files: Sequence[File], fields: Mapping[str, str] | None = None, **headers: str) -> Answer:
        """A form with image files and fields."""
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        return self.ask("POST", path, form(files, fields or {}), **{"Content_Type": kind, **headers})

    def raw(self, content: bytes, *, wait: float = 10) -> bytes:
        """What comes back for bytes, until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            connection.sendall(content)
            parts = []
            while part := connection.recv(65_536):
                parts.append(part)
        return b"".join(parts)


@contextmanager
def serving(api: Api, settings: ServeSettings) -> Iterator[Client]:
    """A server that answers within the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        ready = threading.Event()
        server = make_server(api, settings, ready.set)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        assert ready.wait(30)
        try:
            yield Client(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(60)  # a drain takes 30 seconds at most
            assert not thread.is_alive()


def form(files: Sequence[File], fields: Mapping[str, str], *, kind: str = "image/png", field: str = "images") -> bytes:
    """A body of multipart/form-data."""
    parts = [f'form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    for name, content in files:
        head = f'form-data; name="{field}"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        parts.append(head.encode() + content)
    lines = [f"--{BOUNDARY}\r\nContent-Disposition: ".encode() + part + b"\r\n" for part in parts]
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def image_bytes(seed: int = 0, *, width: int = 60, height: int = 40, kind: str = "PNG") -> bytes:
    """An image file with random colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR).save(stream, format=kind)
    return stream.getvalue()
