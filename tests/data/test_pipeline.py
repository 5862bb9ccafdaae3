"""The pipeline: what it reports, and the images that it provides."""

from __future__ import annotations

import torch

from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split


def test_the_pipeline_reports_its_data():
    data = load("digits")
    pipeline = Pipeline(data, make_split(data, 0), torch.device("cpu"))
    document = pipeline.document()
    assert document["counts"] == {"train": 1221, "val": 216, "test": 360}
    assert document["groups"] == {"known": False, "source": "none", "why": "", "counts": document["counts"]}
    assert (document["leak_allowed"], document["skipped"]) == (False, 0)
    assert document["groups_shared"] == 0
    assert not document["stand_in"]
    images = pipeline.images(pipeline.split.val, 16)
    assert (images.shape, len(images)) == ((216, 1, 16, 16), 216)
    assert images[:5].dtype == torch.uint8
