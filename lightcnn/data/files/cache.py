"""Where lightcnn keeps what it can make again: downloaded data sets, resized images, groups that were found."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(part: str) -> Path:
    """`$LIGHTCNN_CACHE`, else `$XDG_CACHE_HOME/lightcnn`, else `~/.cache/lightcnn`, and in it a part; not made yet."""
    given = os.environ.get("LIGHTCNN_CACHE")
    root = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightcnn"
    return root / part
