"""Contact sheets: tiles, and examples of an augmentation."""

from __future__ import annotations

import io

import numpy as np
from helpers.augmentations import settings
from PIL import Image

from lightcnn.data.contact_sheets import EPOCHS, GAP, TILE_PIXELS, augment_sheet, png, tile


def test_a_sheet_shows_originals_and_augmented_images():
    images = [np.full((30, 40, 3), 200, dtype=np.uint8), np.zeros((64, 64, 3), dtype=np.uint8)]
    sheet = augment_sheet(images, settings(brightness=0.5), 0)
    step = TILE_PIXELS + GAP
    assert sheet.shape == (2 * step - GAP, (1 + EPOCHS) * step - GAP, 3)
    assert sheet.dtype == np.uint8
    middles = sheet[TILE_PIXELS // 2 :: step, TILE_PIXELS // 2 :: step, 0]
    assert middles.shape == (2, 1 + EPOCHS)
    assert middles[0, 0] == 200
    assert len(set(middles[0].tolist())) > 4
    assert set(middles[1].tolist()) == {0}
    assert (sheet[TILE_PIXELS : TILE_PIXELS + GAP] == 255).all()
    with Image.open(io.BytesIO(png(sheet))) as decoded:
        np.testing.assert_array_equal(np.asarray(decoded), sheet)
    grey = augment_sheet([np.zeros((8, 8, 1), dtype=np.uint8)], settings(mixup=1.0, noise=0.2), 0, size=8)
    assert grey.shape == (TILE_PIXELS, (1 + EPOCHS) * step - GAP, 3)


def test_tiles_keep_their_aspect_ratio_on_white():
    sheet = tile(
        [np.zeros((20, 10, 1), np.uint8), np.full((4, 4, 3), 9, np.uint8), np.zeros((1, 300, 3), np.uint8)], 2, 40
    )
    assert sheet.shape == (82, 82, 3)
    assert (sheet[:40, :40, 0] == 0).sum() == 40 * 20
    assert (sheet[:40, 42:] == 9).all()
    assert (sheet[42:, :40, 0] == 0).sum() == 40
    assert (sheet[42:, 42:] == 255).all()
