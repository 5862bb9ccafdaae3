"""Local features of images: SIFT (Lowe, IJCV 2004) on a small picture without its finest structure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lightcnn.progress import Progress

SIDE = 192
"""Pixels of the longer side that features are found on; SIFT itself doubles them once."""
BLUR = 2.2
"""Pixels of it: finer structure is noise, or the marks of a recompression, as often as it is the picture."""
FEATURES = 180
CONTRAST = 0.001
"""SIFT's threshold, 40 times under its default: smooth skin has few features above that."""
THUMBNAIL = 96
"""Pixels of the longer side of the small pictures that are laid over each other."""


@dataclass(frozen=True)
class Features:
    """Of N images with K keypoints together: place in pixels, size and angle in degrees of each (K, 4), descriptors
    (K, 128), the image each is of (K,), and of every image a small picture without its shading, (H, W)."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    owners: NDArray[np.int64]
    thumbnails: Sequence[NDArray[np.float16]]


def features(images: Sequence[NDArray[np.uint8]], progress: Progress) -> Features:
    """Features of uint8 images (H, W, C), found on all cores."""
    points, descriptors, counts, thumbnails = [], [], [], []
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the images are shared out over the cores, not the rows of one
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (place, descriptor, thumbnail) in enumerate(pool.map(_described, images)):
                points.append(place)
                descriptors.append(descriptor)
                counts.append(len(place))
                thumbnails.append(thumbnail)
                progress("looking for near duplicates", done + 1, len(images))
    finally:
        cv2.setNumThreads(threads)
    owners = np.repeat(np.arange(len(images), dtype=np.int64), counts)
    return Features(np.concatenate(points), np.concatenate(descriptors), owners, thumbnails)


def _described(image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float16]]:
    """Keypoints (K, 4), descriptors (K, 128) and the small picture of one image."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]
    scale = SIDE / max(grey.shape)
    size = (max(16, round(grey.shape[1] * scale)), max(16, round(grey.shape[0] * scale)))
    grey = _denoised(grey)
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    grey = cv2.GaussianBlur(grey, (0, 0), BLUR)
    sift = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=CONTRAST)
    found, descriptors = sift.detectAndCompute(grey, None)
    small = cv2.resize(grey, None, fx=THUMBNAIL / SIDE, fy=THUMBNAIL / SIDE, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1.2)
    thumbnail = (blurred - cv2.GaussianBlur(blurred, (0, 0), 5)).astype(np.float16)
    if descriptors is None:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), thumbnail
    places = np.array([(*point.pt, point.size, point.angle) for point in found], dtype=np.float32)
    return places, descriptors.astype(np.uint8), thumbnail  # whole numbers up to 255


def _denoised(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A noisy image blurred a little, so that its features are those of the picture and not of the noise.

    The noise is estimated as by Immerkær (CVIU 1996): by a filter that leaves out what is smooth.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    noise = float(np.median(np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel)))) / 6 / 0.6745
    return grey if noise < 4 else cv2.GaussianBlur(grey, (0, 0), min(0.5 + noise / 16, 1.6))
