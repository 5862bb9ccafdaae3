"""Local features of images: SIFT (Lowe, IJCV 2004) on a reduced image without its finest structure."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lightcnn.data.grouping.feature_file import FeatureFile
from lightcnn.data.parallel import map_in_order
from lightcnn.progress import DUPLICATES_STEP, Progress

IMAGE_PIXELS = 192
"""Longer side of the image on which features are detected, in pixels; SIFT itself doubles it once."""
BLUR_PIXELS = 2.2
"""Deviation of the blur of that image: finer structure is as often noise or recompression as content."""
MAX_FEATURES = 180
CONTRAST = 0.001
"""SIFT's threshold, 40 times below its default: smooth skin has few features above that."""
THUMBNAIL_PIXELS = 96
"""Longer side of the thumbnails that are compared pixel by pixel."""


def extract_features(images: Sequence[NDArray[np.uint8]], features: FeatureFile, progress: Progress) -> None:
    """Writes the features of uint8 images (H, W, C), extracted on all cores."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the images are distributed over the cores, not the rows of one image
    try:
        # Not named: once an exception ends the loop, nothing refers to the map any more, and images that have not been
        # started are dropped.
        for described in map_in_order(lambda index: _described(images[index]), range(len(images))):
            features.append(*described)
            progress(DUPLICATES_STEP, len(features), len(images))
    finally:
        cv2.setNumThreads(threads)


def _described(image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float16]]:
    """Keypoints (K, 4), descriptors (K, 128) and thumbnail (H, W) of one image (H, W, C)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]
    scale = IMAGE_PIXELS / max(grey.shape)
    size = (max(16, round(grey.shape[1] * scale)), max(16, round(grey.shape[0] * scale)))
    grey = _denoised(grey)
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    grey = cv2.GaussianBlur(grey, (0, 0), BLUR_PIXELS)
    sift = cv2.SIFT.create(nfeatures=MAX_FEATURES, contrastThreshold=CONTRAST)
    keypoints, descriptors = sift.detectAndCompute(grey, None)
    small = cv2.resize(
        grey, None, fx=THUMBNAIL_PIXELS / IMAGE_PIXELS, fy=THUMBNAIL_PIXELS / IMAGE_PIXELS, interpolation=cv2.INTER_AREA
    )
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1.2)
    thumbnail = (blurred - cv2.GaussianBlur(blurred, (0, 0), 5)).astype(np.float16)
    if descriptors is None:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), thumbnail
    points = np.array([(*point.pt, point.size, point.angle) for point in keypoints], dtype=np.float32)
    return points, descriptors.astype(np.uint8), thumbnail  # integers up to 255


def _denoised(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image, blurred slightly if it is noisy, so that features are detected in its content and not in the noise.

    The noise is estimated by a filter that removes smooth structure (Immerkær, CVIU 1996).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    noise = float(np.median(np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel)))) / 6 / 0.6745
    return grey if noise < 4 else cv2.GaussianBlur(grey, (0, 0), min(0.5 + noise / 16, 1.6))
