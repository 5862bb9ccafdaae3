"""The page: one HTML file with its style, one script, and the policy that allows these and nothing else."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

STATIC = Path(__file__).parent / "static"
"""The folder of the files that the page is made of."""
STYLES = (Path(__file__).parents[1] / "output" / "templates" / "style.css", STATIC / "page.css")
"""The style of the pages of reports, and what this page adds to it."""
MARKS = {"style": "/* STYLE */", "script": "SCRIPT-HASH"}
"""What of page.html is replaced."""


@dataclass(frozen=True)
class Page:
    """The files of the page, and its Content-Security-Policy."""

    html: bytes
    script: bytes
    icon: bytes
    policy: str

    @classmethod
    def load(cls) -> Self:
        """Reads the packaged files."""
        script, icon = (STATIC / "page.js").read_bytes(), (STATIC / "favicon.svg").read_bytes()
        style = "".join(file.read_text(encoding="utf-8") for file in STYLES)
        html = (STATIC / "page.html").read_text(encoding="utf-8")
        html = html.replace(MARKS["style"], style).replace(MARKS["script"], _hash(script))
        policy = (
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style.encode())}'; "
            "img-src 'self' blob: data:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
            "frame-ancestors 'none'"
        )
        return cls(html.encode(), script, icon, policy)


def _hash(content: bytes) -> str:
    """The hash of a script or a style, as policies and `integrity` have it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}"
