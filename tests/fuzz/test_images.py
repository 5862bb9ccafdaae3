"""Image files with random changes of their bytes: pixels, or an error of one line."""

from __future__ import annotations

import warnings
from pathlib import Path
from random import Random

import numpy as np
import pytest
from helpers.image_files import image_files
from helpers.mutations import mutated_bytes

from lightcnn.data.files.decode import decode, decode_whole
from lightcnn.errors import DataError

FILES = image_files()


def test_the_files_are_valid(tmp_path: Path) -> None:
    assert len(FILES) == 27
    for suffix, content in FILES:
        (tmp_path / f"image{suffix}").write_bytes(content)
        try:
            assert decode(tmp_path / f"image{suffix}").pixels.shape[2] in (1, 3)
        except DataError as error:
            assert "numbers" in str(error) or "mode" in str(error), str(error)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_changed_images(number: int, fuzz_cases: int, tmp_path: Path) -> None:
    suffix, content = FILES[number]
    file = tmp_path / f"image{suffix}"
    for seed in range(fuzz_cases):
        file.write_bytes(mutated_bytes(content, Random(seed)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as callers do
            for read in (decode, decode_whole):
                try:
                    decoded = read(file)
                except DataError as error:
                    assert str(error) and "\n" not in str(error), seed
                else:
                    pixels = decoded[0] if isinstance(decoded, tuple) else decoded.pixels
                    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size, seed
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
