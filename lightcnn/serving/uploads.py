"""Images that arrive in a request: in memory only, with all limits checked before anything is decoded."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from lightcnn.data.files.decode import Decoded, decode
from lightcnn.errors import DataError
from lightcnn.predictor import PredictionRule
from lightcnn.serving.settings import Limits
from lightcnn.text import visible

SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"RIFF": "WebP", b"BM": "BMP"}
"""The formats that are decoded. TIFF is not: its decoder has had most of the flaws, and browsers do not show it."""
PADDED_SIDE = 4_000
"""Side in pixels of the largest square to which an image is padded; a shorter side of an image is reduced to 256."""
NAME_CHARACTERS = 100
"""Characters of the name of a file that are shown."""
FIELD_BYTES = 10_000
"""Bytes of a field that is not a file."""
FIELDS = 8
"""Fields of a request that are not files."""


class Refused(Exception):  # noqa: N818 (a response, not an error of the server)
    """A request that is refused: the HTTP status, one line, and after how many seconds to try again, if ever."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after


@dataclass(frozen=True)
class Upload:
    """An image file that is in memory only: its name for messages, and its bytes. It is read like a `Path`."""

    name: str
    content: bytes = field(repr=False)

    @property
    def suffix(self) -> str:
        """The end of the name, with the dot."""
        stem, dot, end = self.name.rpartition(".")
        return dot + end if stem else ""

    @property
    def stem(self) -> str:
        """The name without the suffix."""
        return self.name.removesuffix(self.suffix)

    def open(self, mode: Literal["rb"] = "rb", /) -> io.BytesIO:
        """The bytes as a file."""
        return io.BytesIO(self.content)

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def decode(self, rule: PredictionRule, limits: Limits) -> Decoded:
        """The decoded image. Raises: Refused if it is not one, or has too many pixels, or would have if padded."""
        if not any(self.content.startswith(signature) for signature in SIGNATURES):
            formats = ", ".join(SIGNATURES.values())
            raise Refused(422, f"{self.name}: is not an image of a supported format ({formats})")
        try:
            decoded = decode(self, rule.scale, max_pixels=int(1e6 * limits.megapixels))
        except DataError as error:
            raise Refused(422, f"{self.name}: {error}") from None
        except MemoryError:
            raise Refused(422, f"{self.name}: needs more memory than is available") from None
        if rule.fit == "pad" and max(decoded.pixels.shape[:2]) > PADDED_SIDE:
            problem = f"would be padded to a square with a side of more than {PADDED_SIDE:,} pixels"
            raise Refused(422, f"{self.name}: {problem}; crop the image")
        return decoded


@dataclass(frozen=True)
class Form:
    """What a request holds: image files, and texts by their name."""

    images: tuple[Upload, ...]
    texts: dict[str, str]


class MemoryUse:
    """The bytes of all requests that are in memory, and their limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0

    def add(self, count: int) -> None:
        """Raises: Refused if so many bytes more would exceed the limit."""
        if self._bytes + count > self._limit:
            raise Refused(503, "the server is reading as many images as its memory allows", retry_after=1)
        self._bytes += count

    def remove(self, count: int) -> None:
        """Counts bytes that are no longer in memory."""
        self._bytes -= count


async def read_form(request: Request, limits: Limits, texts: frozenset[str]) -> Form:
    """The images and the texts of a request with multipart/form-data; `texts` are the names that are known.

    Raises: Refused if it is not such a form, too large, too slow, or has other fields.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise Refused(415, "send the images as multipart/form-data, in fields named `images`")
    try:
        async with asyncio.timeout(limits.upload_seconds), aclosing(_body(request, limits)) as body:
            return await _parse(request, body, limits, texts)
    except TimeoutError:
        raise Refused(408, f"the request did not arrive within {limits.upload_seconds:g} seconds") from None
    except MultiPartException as error:
        raise Refused(400, f"the form cannot be read: {error.message}") from None
    except ClientDisconnect:
        raise Refused(400, "the client has gone") from None
    except (UnicodeError, ValueError, LookupError):
        raise Refused(400, "the form cannot be read") from None


async def _parse(request: Request, body: AsyncGenerator[bytes, None], limits: Limits, texts: frozenset[str]) -> Form:
    """The form of a body, with files in memory. Raises: MultiPartException, Refused."""
    parser = MultiPartParser(
        request.headers, body, max_files=limits.images, max_fields=FIELDS, max_part_size=FIELD_BYTES
    )
    parser.spool_max_size = limits.request_bytes  # so that no file is ever written to the disk
    try:
        return await _checked(await parser.parse(), texts)
    finally:
        for file in parser._files_to_close_on_error:  # also those of a form that is cut off
            file.close()


async def _body(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """The bytes of a request as they arrive. Raises: Refused as soon as they are too many."""
    declared = request.headers.get("content-length", "0")
    too_large = Refused(413, f"the request has more than {limits.megabytes:g} MB")
    if not declared.isdecimal() or int(declared) > limits.request_bytes:
        raise too_large
    memory: MemoryUse = request.app.state.memory
    received = 0
    async for chunk in request.stream():
        if received + len(chunk) > limits.request_bytes:
            raise too_large
        memory.add(len(chunk))
        received += len(chunk)
        request.scope["uploaded_bytes"] = received  # the guard takes them off when the request ends
        yield chunk


async def _checked(form: FormData, texts: frozenset[str]) -> Form:
    """Raises: Refused for unknown fields, a field twice, and files that are not images by their content type."""
    images: list[Upload] = []
    values: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "images":
                raise Refused(400, f"unknown file field {visible(name)[:40]!r}; images are in fields named 'images'")
            images.append(Upload(shown_name(value.filename), await value.read()))
            _require_image_type(images[-1].name, value.content_type)
        elif name not in texts:
            raise Refused(400, f"unknown field {visible(name)[:40]!r}; known: {', '.join(sorted(texts))}")
        elif name in values:
            raise Refused(400, f"the field {name!r} is given twice")
        else:
            values[name] = value
    if not images:
        raise Refused(400, "no image; send one or more files in fields named 'images'")
    return Form(tuple(images), values)


def _require_image_type(name: str, kind: str | None) -> None:
    """Raises: Refused for a file whose content type is stated, and not that of an image."""
    if kind and not kind.lower().startswith(("image/", "application/octet-stream")):
        raise Refused(415, f"{name}: has the content type {visible(kind)[:40]}, not that of an image")


def shown_name(name: str | None) -> str:
    """The name of a file without folders, and printable: it is shown, and never used as a path."""
    base = (name or "").replace("\\", "/").rpartition("/")[2]
    return visible(base)[-NAME_CHARACTERS:] or "image"
