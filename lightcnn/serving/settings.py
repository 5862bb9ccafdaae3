"""The settings of `lightcnn serve`: what is served, where, and how much a client may ask for. No torch."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from lightcnn.errors import InputError
from lightcnn.text import visible

MIN_TOKEN_CHARACTERS = 16
"""A shorter token can be guessed; 16 random characters have more than 64 bits."""
PACKAGES = {"starlette": "starlette", "uvicorn": "uvicorn", "multipart": "python-multipart",
            "prometheus_client": "prometheus-client"}  # fmt: skip
"""The modules of the extra, and the packages that have them."""


@dataclass(frozen=True)
class Limits:
    """How much clients may ask for; everything above it is refused before an image is decoded.

    Args:
        megabytes: Bytes of one request, in millions. A photograph of a telephone has 2 to 12.
        megapixels: Pixels of one image, in millions; decoding needs up to 20 bytes for each.
        images: Images of one request.
        requests_per_second: Requests of one address, on average; twice as many at once.
        waiting: Images that wait for the network, over all requests.
        explanations: Explanations that are computed or wait, over all requests.
        memory_megabytes: Bytes of all requests that are in memory at the same time, in millions.
        connections: Requests in progress at the same time.
        upload_seconds: Time in which a request must have arrived.
        drain_seconds: Time that running requests have to end after SIGTERM.
    """

    megabytes: float = 20
    megapixels: float = 50
    images: int = 16
    requests_per_second: float = 50
    waiting: int = 256
    explanations: int = 8
    memory_megabytes: float = 200
    connections: int = 256
    upload_seconds: float = 30
    drain_seconds: float = 30

    def __post_init__(self) -> None:
        """Raises: InputError for a limit that is not a number above 0."""
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value > 0):
                raise InputError(f"--max-{name.replace('_', '-')} {value}: must be a number above 0")

    @property
    def request_bytes(self) -> int:
        """The largest number of bytes of one request."""
        return int(1e6 * self.megabytes)


@dataclass(frozen=True)
class ServeSettings:
    """The input of `lightcnn serve`.

    `path` is the folder of a finished run, or an ONNX file. `labels` and `input` are the class names and the input size
    (C, H, W) of a file that lightcnn did not write. With a `token`, every request but those for the page must carry it.
    `names` are those by which clients reach the server besides its address, such as the name of a proxy.
    """

    path: Path
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    allow_remote: bool = False
    names: tuple[str, ...] = ()
    labels: Path | None = None
    input: tuple[int, int, int] | None = None
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)


def require_usable(settings: ServeSettings) -> None:
    """Raises: InputError for a host, a port or a token that cannot be used, or if a package is missing."""
    require_installed()
    if not 0 <= settings.port <= 65_535:
        raise InputError(f"--port {settings.port}: must be a number from 0 to 65535; 0 chooses a free port")
    token = settings.token
    if token is not None and not re.fullmatch(rf"[A-Za-z0-9._~+/=-]{{{MIN_TOKEN_CHARACTERS},}}", token):
        raise InputError(
            f"--token: must be {MIN_TOKEN_CHARACTERS} or more letters, digits or ._~+/=-; "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    for name in settings.names:
        if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
            raise InputError(
                f"--name {visible(name)}: must be the name of a machine, without http:// and without a port"
            )
    if token is None and not settings.allow_remote:
        _require_local(settings)


def _require_local(settings: ServeSettings) -> None:
    """Raises: InputError if other machines could reach the server."""
    for option, place in (("--host", settings.host), *(("--name", name) for name in settings.names)):
        if not is_loopback(place):
            raise InputError(
                f"{option} {place}: other machines could reach the server; give --token T, or --allow-remote if "
                "everyone who reaches it may use it"
            )


def require_installed() -> None:
    """Raises: InputError that names the pip command if a package of the extra is missing."""
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"serve: {', '.join(missing)} not installed; pip install 'lightcnn[serve]'")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
