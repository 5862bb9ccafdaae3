"""Near duplicates: copies are found after every kind of change, other images are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from lightcnn.data.grouping import similar as module
from lightcnn.data.grouping.matching import MIRROR
from lightcnn.data.grouping.similar import MIN_POSITIONS, block_pairs, clusters_of, find_similar

SIZE = 128
RANDOM = np.random.Generator(np.random.PCG64(0))


def photographs() -> list[np.ndarray]:
    """Parts of scikit-learn's two sample photographs that do not overlap."""
    parts = []
    for image in load_sample_images().images:
        for top in (0, 213):
            for left in (0, 213, 426):
                parts.append(cv2.resize(image[top : top + 213, left : left + 213], (SIZE, SIZE)))
    return parts


PHOTOGRAPHS = photographs()


def turned(image: np.ndarray, degrees: float, scale: float = 1.0, shear: float = 0.0) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, scale)
    matrix[0, 1] += shear
    return cv2.warpAffine(image, matrix, (SIZE, SIZE))


CHANGES = {
    "mirror": lambda i: i[:, ::-1],
    "upside down": lambda i: i[::-1],
    "quarter turn": lambda i: np.rot90(i),
    "rotation": lambda i: turned(i, 25),
    "zoom": lambda i: turned(i, 0, 1.3),
    "shear": lambda i: turned(i, 0, 1, 0.25),
    "shift": lambda i: np.roll(i, (15, 20), (0, 1)),
    "crop": lambda i: cv2.resize(i[20:110, 10:100], (SIZE, SIZE)),
    "other size": lambda i: cv2.resize(i, (200, 180)),
    "blur": lambda i: cv2.GaussianBlur(i, (0, 0), 1.2),
    "noise": lambda i: np.clip(i + RANDOM.normal(0, 12, i.shape), 0, 255).astype(np.uint8),
    "darker": lambda i: (i * 0.6).astype(np.uint8),
    "contrast": lambda i: np.clip((i.astype(float) - 128) * 1.5 + 128, 0, 255).astype(np.uint8),
    "grey": lambda i: cv2.cvtColor(i, cv2.COLOR_RGB2GRAY)[..., None],
    "recompressed": lambda i: cv2.imdecode(cv2.imencode(".jpg", i, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_is_found_after_every_change(name: str) -> None:
    RANDOM.bit_generator.state = np.random.PCG64(0).state
    copies = [np.ascontiguousarray(CHANGES[name](photograph)) for photograph in PHOTOGRAPHS]
    similar = find_similar(PHOTOGRAPHS + copies)
    count = len(PHOTOGRAPHS)
    true = [[i, i + count] for i in range(count)]
    assert all(pair in true for pair in similar.pairs.tolist())
    # One of the twelve is out of focus, and a crop of it has no features.
    assert len(similar.pairs) >= count - (name == "crop")
    assert (similar.strength >= MIN_POSITIONS).all()
    assert np.array_equal(similar.clusters, clusters_of(similar.pairs, 2 * count))


def test_different_photographs_are_not_copies() -> None:
    similar = find_similar(PHOTOGRAPHS)
    assert similar.pairs.shape == (0, 2)
    assert similar.clusters.tolist() == list(range(len(PHOTOGRAPHS)))


def test_images_with_the_same_watermark_are_not_copies() -> None:
    marked = [photograph.copy() for photograph in PHOTOGRAPHS]
    for image in marked:
        cv2.putText(image, "atlas.org", (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    assert not len(find_similar(marked).pairs)


def test_empty_and_flat_images_have_no_copies() -> None:
    flat = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 0, 128, 255)]
    similar = find_similar([*flat, *PHOTOGRAPHS[:2], PHOTOGRAPHS[0]])
    assert similar.pairs.tolist() == [[4, 6]]


def test_the_same_images_give_the_same_result_and_progress_reaches_the_end() -> None:
    images = PHOTOGRAPHS + [turned(photograph, 12) for photograph in PHOTOGRAPHS]
    reports: list[tuple[str, int, int]] = []
    first, second = find_similar(images), find_similar(images, progress=lambda *args: reports.append(args))
    assert np.array_equal(first.pairs, second.pairs)
    assert np.array_equal(first.strength, second.strength)
    assert {what for what, done, total in reports if done == total} == {
        "searching for near duplicates", "comparing features", "verifying near duplicates",
    }  # fmt: skip


def test_mirroring_a_descriptor_equals_mirroring_the_image() -> None:
    grey = cv2.cvtColor(PHOTOGRAPHS[0], cv2.COLOR_RGB2GRAY)
    keypoints, descriptors = cv2.SIFT_create().detectAndCompute(grey, None)
    mirrored = [
        cv2.KeyPoint(SIZE - 1 - p.pt[0], p.pt[1], p.size, (180 - p.angle) % 360, p.response, p.octave)
        for p in keypoints
    ]
    _, expected = cv2.SIFT_create().compute(np.ascontiguousarray(grey[:, ::-1]), mirrored)
    cosine = (descriptors[:, MIRROR] * expected).sum(1) / np.linalg.norm(descriptors, axis=1)
    cosine /= np.linalg.norm(expected, axis=1)
    assert np.median(cosine) > 0.95


def test_clusters_are_the_images_that_pairs_link() -> None:
    pairs = np.array([[1, 4], [4, 5], [2, 3]])
    assert clusters_of(pairs, 7).tolist() == [0, 1, 2, 2, 1, 1, 6]
    assert clusters_of(np.zeros((0, 2), np.int64), 3).tolist() == [0, 1, 2]


def test_every_pair_of_images_is_in_one_step() -> None:
    assert block_pairs(5, 2) == [
        (range(2),), (range(2), range(2, 4)), (range(2), range(4, 5)),
        (range(2, 4),), (range(2, 4), range(4, 5)), (range(4, 5),),
    ]  # fmt: skip
    assert block_pairs(5, 5) == block_pairs(5, 9) == [(range(5),)]
    assert block_pairs(0, 5) == []
    for count, block in ((20, 1), (20, 3), (21, 7)):
        blocks = -(-count // block)
        steps = block_pairs(count, block)
        assert len(steps) == blocks * (blocks + 1) // 2
        pairs = [
            (i, j)
            for step in steps
            for i in step[0]
            for j in step[-1]
            if i < j
        ]  # fmt: skip
        assert sorted(pairs) == [(i, j) for i in range(count) for j in range(i + 1, count)]


@pytest.mark.parametrize("block", [5, 13])
def test_small_blocks_give_the_same_result_with_two_blocks_in_memory(block, monkeypatch) -> None:
    images = [*PHOTOGRAPHS, np.full((SIZE, SIZE, 3), 128, np.uint8), *(turned(image, 12) for image in PHOTOGRAPHS)]
    images += [np.ascontiguousarray(image[:, ::-1]) for image in PHOTOGRAPHS[:4]]
    expected = find_similar(images)
    assert len(expected.pairs) > 12
    sizes: list[int] = []
    search = module.candidate_pairs

    def recorded(features, *args):
        sizes.append(len(features.thumbnails))
        return search(features, *args)

    monkeypatch.setattr(module, "candidate_pairs", recorded)
    reports: list[tuple[str, int, int]] = []
    similar = find_similar(images, block=block, progress=lambda *args: reports.append(args))
    assert np.array_equal(similar.pairs, expected.pairs)
    assert np.array_equal(similar.clusters, expected.clusters)
    # A keypoint has its nearest neighbours in every block, so that a pair can have a position more.
    assert np.allclose(similar.strength, expected.strength, rtol=0.1)
    assert sizes == [sum(map(len, step)) for step in block_pairs(len(images), block)]
    assert max(sizes) == 2 * block
    compared = [done for what, done, _ in reports if what == "comparing features"]
    assert compared == sorted(compared)
    assert compared[-1] == sum(sizes)
