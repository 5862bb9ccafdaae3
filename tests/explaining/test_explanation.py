"""Explaining one image by several methods."""

from __future__ import annotations

import numpy as np
import torch
from helpers.explained_run import three_class_network

from lightcnn.errors import LightcnnError
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer
from lightcnn.explaining.methods.gradcam import GradCam
from lightcnn.explaining.methods.integrated_gradients import IntegratedGradients


def test_a_check_that_raises_is_a_failure_of_its_method(monkeypatch):
    def overflow(self, name, maps):
        raise LightcnnError("explain: the network's numbers overflow")

    monkeypatch.setattr("lightcnn.explaining.checks.deletion_insertion.Curves.compute", overflow)
    subject = ExplainedNetwork.bare(three_class_network(), 3, ("a", "b", "c"))
    explainer = Explainer(subject, [GradCam(), IntegratedGradients()], Checker(subject))
    explanations, failures = explainer("image", torch.rand(1, 3, 8, 8), np.zeros((8, 8, 3), np.uint8))
    assert not explanations
    assert [failure.method for failure in failures] == ["gradcam", "ig"]
