"""An own `torch.nn.Module` as the network of a recipe: trained, opened again with the module, refused without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow  # noqa: N813
from torch import Tensor, nn

import lightcnn
from lightcnn.cli import main
from lightcnn.errors import InputError

pytestmark = pytest.mark.usefixtures("undrawn_charts")

LABELS = np.arange(60) % 2
IMAGES = (np.random.default_rng(0).integers(0, 100, (60, 12, 12)) + 100 * LABELS[:, None, None]).astype(np.uint8)
REFUSAL = r"^network\.module: TinyNet is a module of Python, whose code is not in the run; give it again from Python"


class TinyNet(nn.Module):
    """Convolution, norm and classifier; the classifier's weights have a second name, as in tied networks."""

    def __init__(self, channels: int = 1, classes: int = 2, change: Callable[[Tensor], Any] = lambda logits: logits):
        super().__init__()
        self.conv, self.norm, self.classifier = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, classes)
        self.tied = self.classifier
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.classifier(torch.relu(self.norm(self.conv(x))).mean((2, 3))))


class BatchStatistics(nn.Module):
    """Normalises one number per image by the statistics of the batch, so that one image has none."""

    def __init__(self, *, track: bool):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm1d(2, track_running_stats=track)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(self.conv(x).mean((2, 3)))
        return normalised


def uncopyable() -> TinyNet:
    module = TinyNet()
    module.source = iter(value for value in ())
    return module


def recipe(*, batch: int = 16, epochs: int = 1) -> lightcnn.Recipe:
    quick = lightcnn.Recipe.load("quick")
    changes = {"epochs": epochs, "batch": batch}
    return quick.model_copy(update={"training": quick.training.model_copy(update=changes)})


def train(network: Any, **options: Any) -> lightcnn.Run:
    return lightcnn.train(recipe(), data=(IMAGES, LABELS), network=network, device="cpu", **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(TinyNet(), out=tmp_path_factory.mktemp("own") / "run").path


def test_a_copy_is_trained_and_the_run_is_complete(tmp_path: Path) -> None:
    module = TinyNet().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run = train(module, out=tmp_path / "run")
    assert not module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert run.report["first_weights"] == "the weights of the module as given"
    assert run.report["network"]["cost"]["params"] == sum(value.numel() for value in module.parameters())
    assert run.report["network"]["cost"]["macs"] == 14 * 14 * 9 * 4 + 4 * 2  # 16×16 without padding, and the classifier
    assert run.predict(IMAGES[1]).predictions[0] in ("0", "1")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "network=TinyNet()" in page and "lightcnn predict" not in page and "conv" in page
    assert "network=TinyNet()" in (run / "README.md").read_text(encoding="utf-8")


def test_training_starts_with_the_weights_of_the_module(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = TinyNet()
    first, again = (train(module, out=tmp_path / name) for name in ("first", "again"))
    other = train(TinyNet(), out=tmp_path / "other")
    weights = [run / "weights.safetensors" for run in (first, again, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes() != weights[2].read_bytes()


def test_a_run_works_with_the_module_given_again(folder: Path, tmp_path: Path) -> None:
    run = lightcnn.Run.load(folder, network=TinyNet())
    assert run.predict(list(IMAGES[:3])).probabilities.shape == (3, 2)
    assert len(lightcnn.explain(run, [IMAGES[0]], methods=["gradcam"], checks="none")) == 1
    export = lightcnn.export(run, "onnx,c,hub", out=tmp_path / "export")
    assert [row["format"] for row in export.report["formats"]] == ["onnx"]
    assert [row["format"] for row in export.report["refused"]] == ["c", "hub"]
    assert all("TinyNet" in row["reason"] for row in export.report["refused"])


def test_runs_are_compared_by_their_predictions(folder: Path, tmp_path: Path) -> None:
    other = lightcnn.train(recipe(), data=(IMAGES, LABELS), out=tmp_path / "blocks", device="cpu")
    report = lightcnn.compare([folder, other], out=tmp_path / "compared").report
    assert report["command"] == "compare"


@pytest.mark.parametrize(
    "use",
    [
        lambda path: lightcnn.Run.load(path).predict(IMAGES[0]),
        lambda path: lightcnn.explain(path, [IMAGES[0]]),
        lambda path: lightcnn.export(path, "onnx"),
        lambda path: lightcnn.train(path, data=(IMAGES, LABELS), out=path, resume=True),
    ],
    ids=["predict", "explain", "export", "resume"],
)
def test_a_run_without_its_module_is_refused(folder: Path, use: Callable[[Path], Any]) -> None:
    with pytest.raises(InputError, match=REFUSAL) as caught:
        use(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["predict", "explain", "export", "serve", "train", "profile"])
def test_commands_refuse_it_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pillow.fromarray(IMAGES[0]).save(tmp_path / "image.png")
    options = {"predict": ["image.png"], "train": ["--data", "digits"]}
    assert main.run([command, str(folder), *options.get(command, [])]) in (1, 2)
    out = capsys.readouterr()
    assert "Traceback" not in out.err and "module of Python" in " ".join((out.err + out.out).split())


def test_an_interrupted_training_is_resumed_with_the_module(folder: Path, tmp_path: Path) -> None:
    run = train(TinyNet(), out=tmp_path / "run")
    weights = (run / "weights.safetensors").read_bytes()
    run.remove("report.json")
    train(TinyNet(), out=run.path, resume=True)
    assert (run / "weights.safetensors").read_bytes() == weights
    with pytest.raises(
        InputError, match=r"was started with the module TinyNet; give it again with network=TinyNet\(\)"
    ):
        lightcnn.train(recipe(), data=(IMAGES, LABELS), out=run.path, resume=True, device="cpu")
    with pytest.raises(InputError, match=r"was started with another recipe \(network.module: 'TinyNet' in the run"):
        train(BatchStatistics(track=True), out=run.path, resume=True)


def test_several_trainings_start_with_the_same_module(tmp_path: Path) -> None:
    run = train(TinyNet(), out=tmp_path / "run", seeds=2)
    assert len(run.report["parts"]) == 2
    assert "network=TinyNet()" in (run / "report.html").read_text(encoding="utf-8")


def test_other_weights_than_those_of_the_module_are_refused(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"classifier\.weight has the shape \(2, 4\), in the network of spec\.yaml it is"
    ):
        lightcnn.Run.load(folder, network=TinyNet(classes=3)).predict(IMAGES[0])
    with pytest.raises(
        InputError, match=r"^network: is the class TinyNet, not a module; make one: network=TinyNet\(\)"
    ):
        lightcnn.Run.load(folder, network=TinyNet).predict(IMAGES[0])  # type: ignore[arg-type]


def test_timm_is_told_how_to_register_a_module(folder: Path) -> None:
    with pytest.raises(InputError, match=r"TinyNet is a module of Python; register the function that makes it"):
        lightcnn.register_timm(folder)


class WithExtraState(TinyNet):
    """A module that stores something else than tensors."""

    def get_extra_state(self) -> Any:
        return {"calls": 3}

    def set_extra_state(self, state: Any) -> None:
        raise AssertionError(state)


class Viewed(nn.Module):
    """Flattens as older examples of PyTorch do, which needs contiguous maps."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1)


class Parts(nn.Module):
    """Classifies the parts of each image with one dense layer, given its input by name, and means their logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.classifier = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.conv(x).movedim(1, 3)
        logits: Tensor = self.classifier(input=parts.reshape(-1, 4))
        return logits.reshape(x.shape[0], -1, 2).mean(1)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "width": (lambda: TinyNet(classes=5), r"returns \(2, 5\) for 2 images of 2 classes; return logits \(2, 2\)"),
    "shape": (lambda: TinyNet(change=lambda x: x[:, 0]), r"returns \(2,\) for 2 images of 2 classes"),
    "channels": (
        lambda: TinyNet(channels=3),
        r"fails on images \(2, 1, 16, 16\) in training mode .*to have 3 channels",
    ),
    "no tensor": (lambda: TinyNet(change=lambda x: {"logits": x}), r"returns dict; return the logits only"),
    "not finite": (lambda: TinyNet(change=lambda x: x * float("nan")), "returns numbers that are not finite"),
    "softmax": (lambda: TinyNet(change=lambda x: x.softmax(1)), "returns probabilities; return logits, without"),
    "no gradient": (lambda: TinyNet(change=lambda x: x.detach()), "its outputs have no gradient; leave detach"),
    "batch statistics": (
        lambda: BatchStatistics(track=False),
        r"fails on images \(1, 1, 16, 16\) in eval mode .*; use norms with running statistics",
    ),
    "meta device": (lambda: TinyNet().to("meta"), "has tensors without values, on the meta device"),
    "no parameters": (lambda: nn.Flatten(), "has no trainable parameters; give a module with some"),
    "frozen": (lambda: TinyNet().requires_grad_(False), "has no trainable parameters"),
    "state": (WithExtraState, r"has extra state \(get_extra_state\), which is not stored; keep it in buffers"),
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(2, 3)), "has lazy layers without shapes; run it on one batch"),
    "double": (lambda: TinyNet().double(), "fails on images .* in training mode .*must take float32 images"),
    "depends on values": (
        lambda: TinyNet(change=lambda x: x if x.sum().item() > 9e9 else 2 * x),
        "depends on the values",
    ),
    "view of a map": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), Viewed(), nn.Linear(4 * 14 * 14, 2)),
        r"fails on images \(2, 1, 16, 16\) .*; images are channels_last, so write flatten or reshape in place of view",
    ),
    "convolution in three dimensions": (
        lambda: nn.Conv3d(1, 2, 1),
        "its weights cannot be channels_last .*; use layers of images",
    ),
    "cannot be copied": (lambda: uncopyable(), "cannot be copied .*generator"),
}


def test_the_last_dense_layer_may_see_parts_of_images_by_name(tmp_path: Path) -> None:
    run = train(Parts(), out=tmp_path / "run")
    assert run.predict(IMAGES[:2]).probabilities.shape == (2, 2)
    (row,) = lightcnn.export(run, "onnx", out=tmp_path / "export").report["formats"]
    assert row["format"] == "onnx"


def test_a_run_of_a_module_teaches_a_search(folder: Path, tmp_path: Path) -> None:
    teacher = lightcnn.Run.load(folder, network=TinyNet())
    data = (IMAGES, LABELS)
    run = lightcnn.search(
        "50kFLOPs", data=data, teacher=teacher, trials=1, epochs=1, workers=1, device="cpu", out=tmp_path / "run"
    )
    assert run.report["teacher"]["run"]
    again = lightcnn.train(tmp_path / "run" / "recipe.yaml", data=data, device="cpu", out=tmp_path / "again")
    assert (again / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_modules_are_refused_before_anything_is_written(
    tmp_path: Path, make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(make(), out=tmp_path / "run")
    assert str(caught.value).startswith("network=") and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_module_on_two_devices_is_refused(tmp_path: Path) -> None:
    module = TinyNet()
    module.norm.to("meta")  # the only other device that every machine has; see "meta device"
    with pytest.raises(InputError, match="network=TinyNet: has tensors without values, on the meta device"):
        train(module, out=tmp_path / "run")


def test_a_training_batch_of_one_image_is_refused_for_batch_statistics(tmp_path: Path) -> None:
    data = (IMAGES[:49], LABELS[:49])
    message = r"fails on images \(1, 1, 16, 16\) in training mode .*; set training.batch=4"
    with pytest.raises(InputError, match=message):
        lightcnn.train(
            recipe(batch=2), data=data, network=BatchStatistics(track=True), out=tmp_path / "run", device="cpu"
        )


@pytest.mark.parametrize(
    ("network", "message"),
    [(TinyNet, r"is the class TinyNet, not a module; make one: network=TinyNet\(\)"), ("resnet", "is of type str")],
)
def test_what_is_not_a_module_is_refused(network: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(network)
