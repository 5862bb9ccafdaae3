"""Which layers Grad-CAM can use, and which it chooses."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from lightcnn.baselines import build_baseline
from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.layer_choice import MapLayer, choose_layer, find_layer, map_layers, trace_layers
from lightcnn.network import build
from lightcnn.recipe import Recipe


def explained(model: nn.Module, channels: int = 3) -> ExplainedNetwork:
    return ExplainedNetwork.bare(model, channels, ("a", "b"))


def image(size: int = 32, channels: int = 3) -> Tensor:
    return torch.randn(1, channels, size, size, generator=torch.Generator().manual_seed(1))


def layer(name: str, size: int, *, whole: bool = True) -> MapLayer:
    return MapLayer(name, "Conv2d", 8, size, size, 0.9, whole)


class Branched(nn.Module):
    """A convolution, a residual body with an activation that runs twice, and a branch that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Dropout())
        self.side = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        self.side(x)
        x = self.act(x + self.body(x))
        out: Tensor = self.head(x.mean(dim=(2, 3)))
        return out


def test_layers_are_listed_in_the_order_of_their_last_call() -> None:
    layers = map_layers(explained(Branched()), image())
    assert [(layer_.name, layer_.kind, layer_.also) for layer_ in layers] == [
        ("stem", "Conv2d", ()),
        ("body.0", "Conv2d", ("body",)),
        ("act", "ReLU", ()),
    ]
    assert {(layer_.channels, layer_.height, layer_.width) for layer_ in layers} == {(4, 32, 32)}
    assert [layer_.depth for layer_ in layers] == [1 / 4, 3 / 4, 3 / 4]
    assert [layer_.whole for layer_ in layers] == [True, False, True]


def test_an_oblong_image_has_oblong_maps() -> None:
    layers = map_layers(explained(Branched()), torch.randn(1, 3, 8, 12))
    assert {(layer_.height, layer_.width) for layer_ in layers} == {(8, 12)}


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([layer("a", 16), layer("b", 8), layer("c", 7), layer("d", 6)], "c"),
        ([layer("a", 16), layer("b", 8), layer("c", 8, whole=False), layer("d", 4)], "b"),
        ([layer("a", 16), layer("b", 8, whole=False), layer("d", 4)], "b"),
        ([layer("a", 6), layer("b", 6), layer("c", 3), layer("gate", 1)], "b"),
        ([layer("a", 1)], "a"),
        ([MapLayer("long", "Conv2d", 8, 6, 60, 0.9, True), layer("a", 7), layer("b", 6)], "a"),
    ],
)
def test_the_deepest_map_of_at_least_7_by_7_is_chosen(layers: list[MapLayer], name: str) -> None:
    assert choose_layer(layers).name == name


def test_a_layer_has_all_names_of_its_map() -> None:
    layers = map_layers(explained(Branched()), image())
    assert find_layer(layers, "body") == find_layer(layers, "body.0") == layers[1]


def test_an_unknown_layer_lists_the_known_ones() -> None:
    layers = map_layers(explained(Branched()), image())
    with pytest.raises(InputError, match=r"--layer body.1: .* did you mean 'body.0'\?; .*act \(ReLU, 4 × 32 × 32\)"):
        find_layer(layers, "body.1")
    with pytest.raises(InputError, match="layers with maps: 88 earlier layers, layer88 "):
        find_layer([layer(f"layer{number}", 8) for number in range(100)], "x")


def test_outputs_that_are_not_maps_are_not_listed() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 4, 4)
            self.wide = nn.Linear(8, 24)  # (1, 8, 8, 24)
            self.attention = nn.Softmax(dim=-1)  # (1, 2, 64, 64)
            self.drop = nn.Dropout()
            self.head = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            tokens = self.wide(x.movedim(1, 3))[..., :8].flatten(1, 2).unflatten(2, (2, 4)).movedim(2, 1)
            shares = self.drop(self.attention(tokens @ tokens.mT))
            out: Tensor = self.head((shares @ tokens).movedim(1, 2).flatten(2).mean(dim=1))
            return out

    assert [layer_.name for layer_ in map_layers(explained(Tokens()), image())] == ["conv"]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)),
        nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(3 * 32 * 32, 2)),
    ],
)
def test_a_network_without_maps_is_refused(model: nn.Module) -> None:
    with pytest.raises(InputError, match=r"needs a layer whose output is a map .* use --method ig, lime or occlusion"):
        choose_layer(map_layers(explained(model), image()))


def test_no_layer_is_listed_if_the_score_has_no_gradient() -> None:
    class Detached(Branched):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    assert map_layers(explained(Detached()), image()) == []


def test_a_map_that_is_overwritten_is_detected_and_kept() -> None:
    class Writing(Branched):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x += 1
            out: Tensor = self.head(nn.functional.relu(x, inplace=True).mean(dim=(2, 3)))
            return out

    subject = explained(Writing())
    run = trace_layers(subject, image())
    stem = find_layer(run.layers, "stem")
    assert not run.is_unchanged(stem)
    kept = trace_layers(subject, image(), keep="stem")
    assert kept.is_unchanged(stem)
    assert torch.equal(kept.maps["stem"], subject.model.stem(image()))
    assert torch.equal(kept.score, run.score)


def test_layers_are_traced_where_gradients_are_off() -> None:
    subject = explained(Branched())
    with torch.inference_mode():
        inside = map_layers(subject, image())
    assert inside == map_layers(subject, image())


@pytest.mark.parametrize(
    ("name", "size", "chosen"),
    [
        ("resnet18", 64, "layer2.1.act2"),
        ("convnext_atto", 128, "stages.3.downsample.0"),
        ("mobilenetv2_050", 224, "bn2.act"),
        ("densenet121", 64, "features.transition2.conv"),
        ("vit_tiny_patch16_224", 224, "patch_embed.proj"),
    ],
)
def test_networks_of_timm(name: str, size: int, chosen: str) -> None:
    assert choose_layer(map_layers(explained(timm.create_model(name, num_classes=2)), image(size))).name == chosen


def test_networks_and_baselines_of_lightcnn() -> None:
    micro = map_layers(explained(build(Recipe.load("micrompoxnet").network, seed=0)), image(128))
    assert str(choose_layer(micro)) == "stages.9.0.act (Identity, 256 × 8 × 8)"
    assert find_layer(micro, "stages.9") == choose_layer(micro)
    grey = map_layers(explained(build_baseline("mobilenetv2", input=(1, 96, 96), seed=0), 1), image(96, 1))
    assert choose_layer(grey).name == "backbone.blocks.3.0.bn1.act"
