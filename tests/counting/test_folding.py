"""Each BatchNorm that alone follows a convolution is folded; the outputs stay the same."""

from __future__ import annotations

import pytest
import torch
from helpers.models import (
    SHAPE,
    timm,
)
from torch import Tensor, nn

from lightcnn.baselines import build_network
from lightcnn.counting.count import count
from lightcnn.counting.folding import fold_pairs, foldable_pairs, unfolded_norms
from lightcnn.counting.trace import trace


@pytest.mark.parametrize(
    ("name", "unfolded"),
    [("mobilenetv2_100", 0), ("tf_efficientnet_b0", 0), ("resnetv2_50", 17), ("legacy_xception", 0)],
)
def test_a_folded_network_has_the_same_outputs(name: str, unfolded: int) -> None:
    spec = timm(name, size=96, classes=5)
    model = build_network(spec, 0, pretrained=False).eval()
    random = torch.Generator().manual_seed(0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=random)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 1.5, generator=random)  # type: ignore[union-attr]
            part.weight.data.uniform_(0.5, 1.5, generator=random)
    deployed = fold_pairs(model, foldable_pairs(model, trace(model, spec.input)))
    x = torch.randn(1, *spec.input, generator=random)
    with torch.inference_mode():
        expected, outputs = model(x), deployed(x)
    assert float((expected - outputs).abs().max() / expected.abs().max()) < 1e-4
    assert len(unfolded_norms(trace(deployed, spec.input))) == unfolded
    if not unfolded:
        assert not any(isinstance(part, nn.BatchNorm2d) for part in deployed.modules())


def test_a_norm_whose_input_is_read_again_is_not_folded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return self.norm(y) + y

    assert foldable_pairs(Twice(), trace(Twice(), SHAPE)) == []
    counts = count(Twice(), SHAPE)
    assert counts.unfolded == ("norm",)
    assert counts.weight_bytes["int8"] == 9 + 4 * (3 + 6)
