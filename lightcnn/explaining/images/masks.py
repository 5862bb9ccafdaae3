"""A folder of ground-truth masks, one per image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.decode import SUFFIXES, decode_mask
from lightcnn.data.files.walk import hidden
from lightcnn.errors import DataError, InputError


class MaskFolder:
    """Mask files, each with the file name of its image and any extension."""

    def __init__(self, folder: Path) -> None:
        """Raises: InputError if there is no such folder, it holds no images, or two have the same name."""
        self.folder = folder
        if not folder.is_dir():
            raise InputError(
                f"--masks {folder}: no such folder; give a folder with a mask NAME.png for an image NAME.jpg"
            )
        files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and not hidden(path)]
        self._files = {path.stem: path for path in files}
        if not files:
            raise InputError(f"--masks {folder}: no images in this folder (suffixes: {', '.join(sorted(SUFFIXES))})")
        if len(self._files) < len(files):
            duplicate = next(path for path in files if self._files[path.stem] != path)
            raise InputError(
                f"--masks {folder}: {duplicate.name} and {self._files[duplicate.stem].name} differ only in their "
                "extension; keep one of them"
            )

    def require_any(self, names: Sequence[str]) -> None:
        """Raises: InputError if no image with one of these names has a mask."""
        if not any(Path(name).stem in self._files for name in names):
            example = f", for example {Path(names[0]).stem}.png" if names else ""
            raise InputError(
                f"--masks {self.folder}: none of the {len(names)} images has a mask there; name each mask like its "
                f"image{example}"
            )

    def read(self, name: str, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """The mask (H, W) of the image with that name and `size` (height, width); None if it has no mask.

        Raises: DataError if the mask cannot be read or has another size.
        """
        path = self._files.get(Path(name).stem)
        if path is None:
            return None
        try:
            mask = decode_mask(path)
        except DataError as error:
            raise DataError(f"its mask {path} {error}") from None
        if mask.shape != size:
            actual, expected = ("×".join(map(str, shape[::-1])) for shape in (mask.shape, size))
            raise DataError(
                f"its mask {path} is {actual} pixels, but the upright image is {expected}; give a mask of that size"
            )
        return mask
