"""The URL of a database: how it is shown without its password, and what is refused since it could show a part of it."""

from __future__ import annotations

import re

from lightcnn.errors import InputError

STORAGE_VARIABLE = "LIGHTCNN_STORAGE"
"""The environment variable with the URL."""
HIDDEN = "***"
"""What a URL has in place of its password where it is shown."""
PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:/?]*):(?P<port>[^/?]*)")
"""Host and port after the user's part. SQLAlchemy takes everything from the colon to the next slash for the port."""
SECRET = re.compile(r"([?&][^=&]*(?:password|passwd|pwd)[^=&]*=)[^&]*", re.IGNORECASE)
"""An option of a driver that has a password."""


def visible_url(url: str) -> str:
    """The URL without its password, and without a port that is not a number: it may be a password without its host."""
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[\w+.-]*", scheme):
        scheme, separator, rest = "", "", url
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    if colon:
        user = f"{name}:{HIDDEN}"
    match = PORT.match(place)
    if match and not re.fullmatch("[0-9]*", match["port"]):
        place = f"{match['host']}:{HIDDEN}{place[match.end() :]}"
    return SECRET.sub(rf"\1{HIDDEN}", f"{scheme}{separator}{user}{at}{place}")


def require_storage_url(url: str, name: str) -> None:
    """Raises: InputError if a part of the password could be taken for another part of the URL, or for a wrong port.

    `name` is the option or the variable that has the URL; the message begins with it.
    """
    scheme, _, rest = url.partition("://")
    shown = f"{name} {visible_url(url)}"
    if "password" in rest.partition("?")[2].lower():
        raise InputError(f"{name} {scheme}://...: the password must be before the @, where it is hidden in messages")
    if rest.count("@") > 1:
        raise InputError(f"{shown}: has more than one @; write each @ of the user name and of the password as %40")
    user, _, place = rest.rpartition("@")
    port = match["port"] if (match := PORT.match(place)) else ""
    if not re.fullmatch("[0-9]*", port):
        raise InputError(
            f"{shown}: the port is not a number; write USER:PASSWORD@HOST:PORT/DATABASE, as in "
            "anna:PASSWORD@db.example.org:5432/optuna"
        )
    if port and not 0 < int(port[:6]) < 65_536:
        raise InputError(f"{shown}: the port must be a number from 1 to 65535")
    if user.partition(":")[2] == HIDDEN:
        raise InputError(f"{shown}: {HIDDEN} hides the password; write the password there, or set {STORAGE_VARIABLE}")


def bracketed(host: str) -> str:
    """A host as it is before a port: an address of IPv6 is in brackets."""
    return f"[{host.strip('[]')}]" if ":" in host else host
