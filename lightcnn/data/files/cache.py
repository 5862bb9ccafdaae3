"""The cache folder, for what can be made again: downloaded data sets, resized images, near duplicates."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(part: str) -> Path:
    """The subfolder `part` of `$LIGHTCNN_CACHE`, else of `$XDG_CACHE_HOME/lightcnn`, else of `~/.cache/lightcnn`.

    It is not created.
    """
    variable = os.environ.get("LIGHTCNN_CACHE")
    root = Path(variable) if variable else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightcnn"
    return root / part
