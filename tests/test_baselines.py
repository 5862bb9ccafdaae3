"""Baselines: parameter counts, heads, weights from files, freezing, greyscale input, seeds, and errors."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lightcnn import document
from lightcnn.baseline_spec import BASELINES, BaselineSpec, as_baseline, conversion_command, load_network
from lightcnn.baselines import (
    Baseline,
    build_baseline,
    build_network,
    configuration,
    parameters_with_buffers,
    pretrained_statistics,
)
from lightcnn.cli import main
from lightcnn.cli.catalogue import check_file
from lightcnn.errors import DocumentError, InputError
from lightcnn.inference import class_probabilities
from lightcnn.network import Network
from lightcnn.recipe import Recipe
from lightcnn.spec import ConvBlock, NetworkSpec

REFERENCE = {
    "vgg16": (512, 14.85),
    "resnet50": (2048, 24.09),
    "resnet101": (2048, 43.13),
    "resnet50v2": (2048, 24.07),
    "xception": (2048, 21.39),
    "efficientnet_b0": (1280, 4.38),
    "efficientnet_b3": (1536, 11.18),
    "efficientnet_b5": (2048, 29.04),
    "efficientnetv2_b2": (1408, 9.13),
    "convnext_tiny": (768, 28.02),
    "mobilenetv2": (1280, 2.59),
}
"""The reference table: pooled features, and millions of weights, BatchNorm statistics and head."""

PUBLISHED = {"xception": 21.39, "efficientnet_b3": 11.18, "efficientnet_b5": 29.04, "convnext_tiny": 28.02}
"""What the paper prints (doi:10.1016/j.bspc.2026.110404)."""

SMALL = "timm:test_efficientnet"
"""A network of timm for tests: 0.4 million parameters, with BatchNorm."""


def small(**changes: Any) -> Baseline:
    return build_baseline(**({"name": SMALL, "input": (3, 32, 32), "seed": 0} | changes))


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def parse(network: str) -> Recipe:
    return document.parse(Recipe, f"data: digits\nnetwork: {network}", "some.yaml")


def problems(network: str) -> set[str]:
    with pytest.raises(DocumentError) as caught:
        parse(network)
    return {str(problem).removeprefix("some.yaml:2: ") for problem in caught.value.problems}


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Counts


def test_the_table_equals_the_reference() -> None:
    assert list(BASELINES) == list(REFERENCE)
    assert len(BASELINES) == 11
    for name, (features, millions) in REFERENCE.items():
        entry = BASELINES[name]
        assert entry.features == features
        assert round(entry.total / 1e6, 2) == millions
    assert {name: entry.published for name, entry in BASELINES.items() if entry.published} == PUBLISHED


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_has_as_many_parameters_as_the_reference(name: str) -> None:
    with torch.device("meta"):
        model = build_baseline(name, sigmoid=True)
    assert parameters_with_buffers(model) == BASELINES[name].total
    assert model.head[0].in_features == BASELINES[name].features
    assert [type(layer) for layer in model.head] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert (model.head[0].out_features, model.head[3].out_features) == (256, 1)


def test_the_batch_counter_is_not_a_parameter() -> None:
    norm = nn.BatchNorm2d(5)
    assert parameters_with_buffers(norm) == 20
    assert sum(tensor.numel() for tensor in norm.state_dict().values()) == 21
    assert parameters_with_buffers(nn.BatchNorm2d(5, track_running_stats=False)) == 10


def test_vgg_has_its_dense_layers_only_with_its_own_head() -> None:
    with torch.device("meta"):
        model = build_baseline("vgg16", head="own", classes=None)
        whole = timm.create_model("vgg16")
    assert parameters_with_buffers(model) == sum(p.numel() for p in whole.parameters())


# Building


@pytest.mark.parametrize("name", ["mobilenetv2", SMALL, "timm:test_convnext", "timm:test_vit"])
@pytest.mark.parametrize("head", ["paper", "own"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_has_one_row_of_logits_per_image(name: str, head: Any, channels: int) -> None:
    model = build_baseline(name, input=(channels, 64, 64), classes=5, head=head, seed=0)
    for mode in (True, False):
        logits = model.train(mode)(images(2, channels, 64, 64))
        assert logits.shape == (2, 5)
        assert torch.isfinite(logits).all()


def test_a_sigmoid_is_one_logit_and_two_probabilities() -> None:
    model = small(sigmoid=True).eval()
    assert model.spec.logits == 1
    logits = model(images(2, 3, 32, 32))
    assert logits.shape == (2, 1)
    assert class_probabilities(logits).shape == (2, 2)


def test_a_baseline_with_its_own_head_equals_timms_network() -> None:
    model = small(head="own", classes=None).eval()
    assert model.spec.classes == configuration("test_efficientnet").num_classes == 1000
    whole = timm.create_model("test_efficientnet").eval()
    whole.load_state_dict(model.backbone.state_dict())
    x = images(2, 3, 32, 32)
    assert torch.equal(model(x), whole(x))


def test_greyscale_images_are_repeated_to_three_channels() -> None:
    grey, colour = small(input=(1, 32, 32)).eval(), small().eval()
    assert same(grey, colour)
    x = images(2, 1, 32, 32)
    assert torch.equal(grey(x), colour(x.repeat(1, 3, 1, 1)))


def test_a_seed_determines_the_weights_and_keeps_the_global_state() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = small()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(first, small())
    assert not same(first, small(seed=1))
    torch.manual_seed(1)
    free = small(seed=None)
    torch.manual_seed(1)
    assert same(free, small(seed=None))
    assert not same(free, small(seed=None))


def test_one_function_builds_both_kinds_of_network() -> None:
    spec = NetworkSpec(input=(3, 8, 8), stages=(ConvBlock(width=4),), classes=2)
    baseline = BaselineSpec(baseline=SMALL, input=(3, 32, 32), classes=2)
    assert isinstance(build_network(spec, 0), Network)
    built = build_network(baseline, 0)
    assert isinstance(built, Baseline)
    assert (build_network(spec).spec, built.spec) == (spec, baseline)
    assert same(built, small())


def test_weights_of_a_run_need_no_pretrained_weights() -> None:
    spec = BaselineSpec(baseline=SMALL, input=(3, 32, 32), classes=2, weights="gone.safetensors")
    with pytest.raises(InputError, match=r"gone\.safetensors: no such file"):
        build_network(spec, 0)
    assert same(build_network(spec, 0, pretrained=False), small())


def test_a_baseline_can_be_copied_with_its_state() -> None:
    model, other = small(freeze=True), small(seed=1, freeze=True)
    other.load_state_dict(copy.deepcopy(model).state_dict())
    assert same(model, other)


# Freezing


def stepped(model: Baseline) -> set[str]:
    """The tensors that two steps of training change."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.train()
        model(images(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    model = small(freeze=True)
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"head"}
    changed = stepped(model)
    assert changed
    assert {name.split(".")[0] for name in changed} == {"head"}
    assert model.head.training and not any(part.training for part in model.backbone.modules())


def test_all_layers_of_an_unfrozen_backbone_are_trained() -> None:
    model = small()
    changed = stepped(model)
    assert {name for name, _ in model.named_parameters()} <= changed
    assert any("running_mean" in name for name in changed)
    assert all(part.training for part in model.modules())
    assert not any(part.training for part in model.eval().modules())


def test_the_own_classifier_of_a_frozen_backbone_is_trained() -> None:
    model = small(freeze=True, head="own", classes=3)
    assert stepped(model) == {"backbone.classifier.weight", "backbone.classifier.bias"}
    assert model.backbone.classifier.training and not model.backbone.training
    assert not any(part.training for part in model.eval().modules())


# Weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """timm's keys of a randomly initialised network, classifier included."""
    torch.manual_seed(5)
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), path)
    return path


def rewritten(file: Path, change: Any) -> str:
    state = load_file(file)
    change(state)
    save_file(state, file)
    return str(file)


@pytest.mark.parametrize("head", ["paper", "own"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_backbone_is_loaded_from_a_file(head: Any, channels: int, file: Path) -> None:
    tensors = load_file(file)
    model = small(weights=str(file), head=head, input=(channels, 32, 32))
    state = model.backbone.state_dict()
    loaded = {key for key in state if not key.startswith("classifier.")}
    assert loaded == tensors.keys() - {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(state[key], tensors[key]) for key in loaded)
    assert (
        model.note
        == f"{file}: {len(loaded)} tensors; left out, because they classify: classifier.bias, classifier.weight"
    )


def test_a_new_classifier_on_pretrained_features_starts_with_small_logits(file: Path) -> None:
    classifier = small(weights=str(file), head="own").backbone.get_classifier()
    assert classifier.weight.abs().max() <= classifier.in_features**-0.5


def test_the_head_does_not_depend_on_the_weights(file: Path) -> None:
    assert same(small(weights=str(file)).head, small().head)


def test_the_weights_of_a_run_are_weights_of_a_backbone(tmp_path: Path) -> None:
    trained = small(seed=4, sigmoid=True)
    file = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), file)
    model = small(weights=str(file), classes=7)
    assert same(model.backbone, trained.backbone)
    assert "left out, because they classify: head.0.bias, head.0.weight, head.3.bias and 1 more" in model.note


def test_old_files_without_batch_counters_are_loaded(file: Path) -> None:
    def without(state: dict[str, Tensor]) -> None:
        for key in [key for key in state if key.endswith("num_batches_tracked")]:
            del state[key]

    assert "tensors" in small(weights=rewritten(file, without)).note


def test_a_file_with_missing_and_unexpected_tensors_is_refused(file: Path) -> None:
    def spoil(state: dict[str, Tensor]) -> None:
        for key in [key for key in state if key.startswith(("conv_head.", "bn1."))]:
            del state[key]
        state["conv_stem.weight"] = torch.zeros(16, 1, 3, 3)
        state["stranger.weight"] = torch.zeros(2)

    with pytest.raises(InputError) as caught:
        small(weights=rewritten(file, spoil))
    message = str(caught.value)
    assert message.startswith(f"network.weights: {file}: not this backbone of ")
    assert "5 missing (" in message and " and 2 more)" in message
    assert "1 unexpected (stranger.weight)" in message
    assert "1 of another shape (conv_stem.weight 16×1×3×3 instead of " in message
    assert "\n" not in message


def test_a_deeper_network_of_the_family_is_refused(tmp_path: Path) -> None:
    deeper = {key: torch.zeros(tensor.shape) for key, tensor in _meta("resnet34").state_dict().items()}
    file = tmp_path / "resnet34.safetensors"
    save_file(deeper, file)
    with pytest.raises(InputError, match=r"not this backbone of 100 tensors: \d+ unexpected \(layer"):
        build_baseline("timm:resnet18", weights=str(file))


def _meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


@pytest.mark.parametrize("change", [lambda t: t.index_fill(0, torch.tensor(3), torch.nan), lambda t: t.long()])
def test_weights_that_are_not_finite_numbers_are_refused(change: Any, file: Path) -> None:
    def spoil(state: dict[str, Tensor]) -> None:
        state["conv_stem.weight"] = change(state["conv_stem.weight"])

    with pytest.raises(InputError, match=r"conv_stem\.weight contains other values than finite floating-point numbers"):
        small(weights=rewritten(file, spoil))


@pytest.mark.parametrize("content", [b"", b"not a file of tensors", b"\xff" * 64, b"\x08" + b"\0" * 7 + b"{}      "])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"^network\.weights: .*weights\.safetensors: no"):
        small(weights=str(file))


@pytest.mark.parametrize("name", ["a.pth", "b.pt", "c.BIN", "d.pth.tar", "e.ckpt"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(name: str) -> None:
    (problem,) = problems(f"{{baseline: vgg16, classes: 2, weights: {name}}}")
    assert problem.startswith(f"network.weights: {name} is a pickle, which is not read; convert it with: python -c ")


def test_the_conversion_command_works(tmp_path: Path) -> None:
    torch.save(small().backbone.state_dict(), tmp_path / "a.pth")
    words = shlex.split(conversion_command("a.pth"))
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, timeout=120)
    assert load_file(tmp_path / "WEIGHTS.safetensors").keys() == small().backbone.state_dict().keys()
    assert "tensors" in small(weights=str(tmp_path / "WEIGHTS.safetensors")).note


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The requested URLs, all of which fail; the cache is empty."""
    urls: list[str] = []

    def refuse(request: urllib.request.Request, timeout: float) -> None:
        urls.append(request.full_url)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    return urls


def test_a_failed_download_is_reported_with_a_remedy(no_network: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        build_baseline("mobilenetv2", weights="timm")
    (url,) = no_network
    assert url.endswith("/timm/mobilenetv2_100.ra_in1k/resolve/main/model.safetensors")
    for part in ("network.weights: timm: ", "mobilenetv2_100", url, "not known", "network.weights: FILE.safetensors"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_remedy_for_a_pickle_of_timm_includes_its_conversion(no_network: list[str]) -> None:
    with pytest.raises(
        InputError, match=r"xception-43020ad28\.pth .*convert it with `python -c .*and set network\.weights"
    ):
        build_baseline("xception", weights="timm")
    assert len(no_network) == 1


def test_a_cached_pickle_of_timm_needs_no_download(
    no_network: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(5)
    state = timm.create_model("legacy_xception").state_dict()
    torch.save(state, checkpoints / "xception-43020ad28.pth")
    model = build_baseline("xception", input=(3, 64, 64), weights="timm")
    assert all(torch.equal(value, state[key]) for key, value in model.backbone.state_dict().items())
    assert not no_network


def test_a_network_without_weights_in_timm_is_refused(no_network: list[str]) -> None:
    with pytest.raises(InputError, match="timm has no weights for "):
        build_baseline(f"timm:{_without_weights()}", weights="timm")
    assert not no_network


def _without_weights() -> str:
    return next(n for n in timm.list_models() if not timm.is_model_pretrained(n))


@pytest.mark.parametrize("head", ["paper", "own"])
def test_timm_loads_all_of_its_weights(head: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(file))
    model = small(weights="timm", head=head, classes=4)
    given = small(weights=str(file), head=head, classes=4)
    for key, value in given.backbone.state_dict().items():
        assert key.startswith("classifier.") or torch.equal(model.backbone.state_dict()[key], value)
    assert model(images(2, 3, 32, 32)).shape == (2, 4)
    assert model.note == "weights of timm:test_efficientnet"


def test_timm_refuses_incomplete_weights(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(file))
    rewritten(file, lambda state: state.pop("conv_stem.weight"))
    with pytest.raises(InputError, match="cannot be built by timm"):
        small(weights="timm")


# Statistics of preprocessing


def test_pretrained_weights_have_their_own_statistics(tmp_path: Path) -> None:
    def statistics(**changes: Any) -> Any:
        return pretrained_statistics(BaselineSpec(**({"baseline": "mobilenetv2", "classes": 2} | changes)))

    assert statistics() is None
    timms = statistics(weights="timm")
    assert (timms.mean, timms.deviation) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (timms.interpolation, timms.source) == ("bicubic", "timm:mobilenetv2_100.ra_in1k")
    assert statistics(weights="timm", input=(1, 96, 96)).mean == pytest.approx((0.449,), abs=1e-6)
    assert statistics(weights="timm", baseline="resnet50v2").mean == (0.5, 0.5, 0.5)
    by_hand = statistics(weights=str(tmp_path / "w.safetensors"))
    assert by_hand.mean == timms.mean
    rule = tmp_path / "preprocess.json"
    of_run = {"size": 28, "channels": 1, "shorter_side": 256, "classes": ["a", "b"]}
    rule.write_text(json.dumps(of_run | {"mean": [0.25], "deviation": [0.5]}))
    assert statistics(weights=str(tmp_path / "w.safetensors")).mean == (0.25, 0.25, 0.25)
    assert statistics(weights=str(tmp_path / "w.safetensors")).source == str(rule)
    for wrong in (
        {"mean": [], "deviation": []}, {"mean": ["x"], "deviation": [0.5]}, {"mean": [0.5], "deviation": [0]},
        {"mean": [1e30], "deviation": [0.5]}, {"mean": [0.5], "deviation": [0.5], "channels": 0}, {"mean": [0.5]},
    ):  # fmt: skip
        rule.write_text(json.dumps(of_run | wrong))
        with pytest.raises(InputError, match=r"preprocess\.json: .*put back the file that the run wrote"):
            statistics(weights=str(tmp_path / "w.safetensors"))
    for text in ("[]", "[" * 100_000, "{"):
        rule.write_text(text)
        with pytest.raises(InputError, match=r"preprocess\.json: "):
            statistics(weights=str(tmp_path / "w.safetensors"))


# As data


FULL = "{baseline: 'timm:resnet18.a1_in1k', input: [1, 96, 96], classes: 2, sigmoid: true, head: own, dropout: 0.1, "


def test_a_recipe_accepts_both_kinds_of_network(tmp_path: Path) -> None:
    recipe = parse(FULL + "weights: a/b.safetensors, freeze: true}")
    assert recipe.network == BaselineSpec(
        baseline="timm:resnet18.a1_in1k", input=(1, 96, 96), classes=2, sigmoid=True, head="own", dropout=0.1,
        weights="a/b.safetensors", freeze=True,
    )  # fmt: skip
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert document.parse(Recipe, document.dump(recipe)) == recipe


def test_the_digest_depends_only_on_what_is_computed() -> None:
    digest = BaselineSpec(baseline="vgg16", classes=2).digest()
    assert BaselineSpec(baseline="timm:vgg16", classes=2, weights="timm", freeze=True).digest() == digest
    changes: list[dict[str, Any]] = [
        {"baseline": "xception"}, {"classes": 3}, {"sigmoid": True}, {"head": "own"}, {"input": (1, 224, 224)},
    ]  # fmt: skip
    others = {BaselineSpec(**({"baseline": "vgg16", "classes": 2} | change)).digest() for change in changes}
    assert len(others | {digest}) == len(changes) + 1


def test_a_baseline_is_a_document_of_its_own(tmp_path: Path) -> None:
    baseline = BaselineSpec(baseline="xception", classes=3)
    baseline.save(tmp_path / "spec.yaml")
    assert BaselineSpec.load(tmp_path / "spec.yaml") == load_network(tmp_path / "spec.yaml") == baseline
    assert check_file(tmp_path / "spec.yaml")["kind"] == "baseline"
    network = NetworkSpec(input=(3, 8, 8), stages=(ConvBlock(width=4),), classes=2)
    network.save(tmp_path / "other.yaml")
    assert load_network(tmp_path / "other.yaml") == network
    assert check_file(tmp_path / "other.yaml")["kind"] == "spec"


@pytest.mark.parametrize("name", BASELINES)
def test_the_spelling_of_the_paper_suggests_the_name(name: str) -> None:
    (problem,) = problems(f"{{baseline: {BASELINES[name].title}, classes: 2}}")
    assert problem.startswith(f"network.baseline: '{BASELINES[name].title}' is not a baseline; did you mean '{name}'?")
    assert ", ".join(BASELINES) in problem


@pytest.mark.parametrize(
    ("network", "messages"),
    [
        ("{baseline: resnet18, classes: 2}", {"network.baseline: .*write any other network of timm as timm:resnet18"}),
        ("{baseline: 'hf-hub:a/b', classes: 2}", {"network.baseline: 'hf-hub:a/b' is not a baseline.*timm:NAME"}),
        ("{baseline: 'local-dir:/etc', classes: 2}", {"network.baseline: .*is not a baseline"}),
        ("{baseline: 'timm:hf-hub:a/b', classes: 2}", {"network.baseline: .*is not a baseline"}),
        ("{baseline: 'timm:../x', classes: 2}", {"network.baseline: .*is not a baseline"}),
        (
            "{basline: vgg16, classes: 2}",
            {"network.basline: unknown key .*did you mean 'baseline'", "network.baseline: the key .* is missing"},
        ),
        ("{baseline: vgg16, clases: 2}", {"network.clases: .*did you mean 'classes'", "network.classes: .*missing"}),
        (
            "{baseline: vgg16, classes: 2, stages: []}",
            {"network.stages: unknown key .*known: baseline, input, classes"},
        ),
        ("{input: [3, 8, 8], classes: 2, stage: []}", {"network.stage: .*'stages'", "network.stages: .*missing"}),
        ("{baseline: vgg16, classes: 3, sigmoid: true}", {"network.sigmoid: a single logit is for two classes, not 3"}),
        ("{baseline: vgg16, classes: 2, input: [2, 9, 9]}", {"network.input.0: a baseline reads 1 .*not 2"}),
        ("{baseline: vgg16, classes: 2, head: papr}", {"network.head: .*did you mean 'paper'"}),
        ("{baseline: vgg16, classes: 2, weights: tim}", {"network.weights: 'tim' is not none.*did you mean 'timm'"}),
        ("{baseline: vgg16, classes: 2, dropout: 1.0}", {"network.dropout: .*less than 1"}),
        ("vgg16", {"network: must be a mapping of keys to values"}),
    ],
)
def test_errors_refer_to_the_kind_of_network_that_was_meant(network: str, messages: set[str]) -> None:
    refused = problems(network)
    assert len(refused) == len(messages)
    for pattern in messages:
        assert [text for text in refused if re.match(pattern, text)], f"{pattern}: {refused}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnt18", r"^network\.baseline: timm:resnt18: timm .* has no such network; did you mean 'resnet18'\?"),
        ("timm:resnet18.nothing", r"Invalid pretrained tag \(nothing\) for resnet18; its weights are a1_in1k, "),
        ("mobilnetv2", r"^baseline: 'mobilnetv2' is not a baseline; did you mean 'mobilenetv2'\?"),
    ],
)
def test_unknown_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_baseline(name)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("vgg16", (3, 16, 16), r"vgg16 cannot take 3×16×16 \(its weights are for 3×224×224\): .*too small"),
        ("xception", (1, 4, 4), "xception cannot take 1×4×4"),
        ("timm:crossvit_9_240", (3, 64, 64), "timm:crossvit_9_240 cannot take 3×64×64 .*3×240×240"),
    ],
)
def test_an_input_that_does_not_fit_the_backbone_is_refused(name: str, shape: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^network.input: {message}"), torch.device("meta"):
        build_baseline(name, input=shape)


def test_the_network_of_a_recipe_is_replaced_by_a_baseline() -> None:
    network = {"name": "n", "input": [1, 16, 16], "stages": [], "head": {"output": "sigmoid"}, "classes": 2}
    expected = {"baseline": "vgg16", "classes": 2, "input": [1, 224, 224], "sigmoid": True}
    assert as_baseline(network, "vgg16") == expected
    assert as_baseline({"stages": [], "head": {}}, "vgg16") == {"baseline": "vgg16"}
    assert as_baseline(expected | {"freeze": True}, "xception") == expected | {"freeze": True, "baseline": "xception"}


def test_baselines_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["list", "baselines"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BASELINES)
    assert [line for line in lines if "21,386,281" in line and "the paper prints 21.39 M" in line]
    assert main.run(["list", "baselines", "--show", "vgg16"]) == 2
