"""Speed and accuracy of the methods of `lightcnn explain`, and their agreement with the packages of the same names.

    pip install grad-cam lime && python tests/benchmarks/explain.py
    python tests/benchmarks/explain.py [--samples 300] [--batch 8] [--rounds 3] [--run RUN ...]

It explains the predicted class of a synthetic lesion of 128 × 128 pixels on one thread, for MicroMPoxNet and timm's
MobileNetV2 in the memory layout of trained runs, or for the networks of `--run`. The weights of the two are random;
their norms and last layers are fitted to the synthetic images. For a random MobileNetV2, 512 steps between black and an
image are not enough.

The implementations of one table take turns in rounds, after one round that does not count. Times are medians, and
ratios are medians of the ratios of each round. Other packages run on copies of the same network; those that are not
installed are listed. All implementations of LIME get the same superpixels, samples, ridge and kernel. Memory is
measured in a separate process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from lightcnn.baselines import build_baseline
from lightcnn.counting.copies import eval_copy
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import paint_lesions as lesions
from lightcnn.data.tensors import normalise
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.gradcam import GradCam
from lightcnn.explaining.methods.integrated_gradients import IntegratedGradients, completeness_error
from lightcnn.explaining.methods.lime import Lime, draw, hidden, proximity
from lightcnn.explaining.methods.occlusion import Occlusion
from lightcnn.explaining.methods.superpixels import superpixels
from lightcnn.inference import class_probabilities
from lightcnn.network import build
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork

GOLDEN = Path(__file__).parents[1] / "golden" / "micrompoxnet.yaml"
RULE = Preprocess(size=128, channels=3, shorter_side=128, mean=(0.5,) * 3, deviation=(0.25,) * 3, classes=("a", "b"))
STEPS = (8, 16, 32, 50, 64, 128)
OURS = (16, 32, 64)
"""The steps that lightcnn tries: they double from 16 on, and each doubling computes all steps again."""

Ways = dict[str, Callable[[], Any]]


class Clock:
    """Seconds and images that pass through a network, and the largest number of images at once."""

    def __init__(self, model: nn.Module) -> None:
        self.seconds, self.images, self.most = 0.0, 0, 0
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)

    def _begin(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.images += len(inputs[0])
        self.most = max(self.most, len(inputs[0]))
        self._start = time.perf_counter()

    def _end(self, model: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        self.seconds += time.perf_counter() - self._start


def networks(runs: Sequence[str]) -> Iterator[tuple[str, nn.Module, Preprocess]]:
    """Name, network and preprocessing."""
    for run in runs:
        trained = TrainedNetwork.load(run, device="cpu")
        yield Path(run).name, trained.model, trained.preprocess
    if not runs:
        yield "MicroMPoxNet", settled(build(NetworkSpec.load(GOLDEN), 0)), RULE
        mobile = build_baseline("timm:mobilenetv2_100", input=(3, 128, 128), head="own", seed=0)
        yield "MobileNetV2", settled(mobile), RULE


def settled(model: nn.Module) -> nn.Module:
    """Sets the statistics of its norms from synthetic images, black to bright, and scales its logits to deviation 2."""
    inputs = normalise(lesion_images(16) * torch.linspace(0, 1, 16).view(-1, 1, 1, 1), RULE)
    last = [part for part in model.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None
        model.train()(inputs)
        logits = model.eval()(inputs)
        scale = 2 / logits.std(0)
        last.weight *= scale[:, None]
        last.bias.copy_((last.bias - logits.mean(0)) * scale)
    return model.to(memory_format=torch.channels_last)


def lesion_images(count: int) -> Tensor:
    """Synthetic lesions, uint8 (N, 3, 128, 128)."""
    return torch.from_numpy(lesions(count=count, size=128, seed=0).images).permute(0, 3, 1, 2)


def interleaved(ways: Ways, rounds: int) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The result of each implementation, and its seconds in each round."""
    results = {name: call() for name, call in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, call in ways.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return results, seconds


def table(title: str, seconds: dict[str, list[float]], notes: dict[str, str], first: str | None = None) -> None:
    """Prints milliseconds of all implementations, and the ratio of the first one's to theirs."""
    first = first or next(iter(seconds))
    print(f"\n{title}\n{'':36}{'ms':>10}{'ours / this':>13}")
    for name, rounds in seconds.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(seconds[first], rounds, strict=True))
        print(f"{name:36}{1e3 * statistics.median(rounds):10.1f}{ratio:13.2f}  {notes.get(name, '')}", flush=True)


def installed(*packages: str) -> bool:
    """Whether all packages are installed; prints those that are not."""
    missing = [package for package in packages if find_spec(package) is None]
    for package in missing:
        print(f"{package}: not installed", flush=True)
    return not missing


@dataclass(frozen=True, eq=False)
class Scene:
    """What is explained: the user's network, its `ExplainedNetwork`, a copy for other packages, and an image."""

    model: nn.Module
    explained: ExplainedNetwork
    peer: nn.Module
    inputs: Tensor
    samples: int
    rounds: int
    target: int
    """The predicted class."""

    @property
    def batch(self) -> int:
        """Number of images at once."""
        return self.explained.batch.requested

    def signed(self, logits: Tensor) -> Tensor:
        """The scores of the class (N,) from logits, as in `ExplainedNetwork.score`."""
        if logits.shape[1] == 1:
            return logits[:, 0] if self.target else -logits[:, 0]
        return logits[:, self.target]

    def score(self, inputs: Tensor) -> Tensor:
        """The same (N,) for images, from the copy for other packages."""
        return self.signed(self.peer(inputs))


def gradcam(scene: Scene) -> None:
    """Grad-CAM, compared with a forward and a backward pass as in training, and with packages on the same layer."""
    from captum.attr import LayerGradCam

    layer, coarse = GradCam().coarse(scene.explained, scene.inputs, scene.target)
    place = dict(scene.peer.named_modules())[layer.name]
    captum, training = LayerGradCam(scene.score, place), eval_copy(scene.model).requires_grad_(True)

    def plain() -> None:
        training.zero_grad()
        scene.signed(training(scene.inputs)).backward()

    ways: Ways = {
        "lightcnn": lambda: GradCam()(scene.explained, scene.inputs, scene.target),
        "forward and backward": plain,
        "captum LayerGradCam": lambda: captum.attribute(scene.inputs).detach(),
    }
    if installed("pytorch_grad_cam"):
        from pytorch_grad_cam import GradCAM

        package = GradCAM(scene.peer, [place])
        ways["grad-cam"] = lambda: package(scene.inputs, [lambda logits: scene.signed(logits[None])[0]])
    results, seconds = interleaved(ways, 5 * scene.rounds)
    notes = {"captum LayerGradCam": largest_difference(coarse, results["captum LayerGradCam"][0, 0])}
    if "grad-cam" in results:
        notes["grad-cam"] = largest_difference(
            torch.from_numpy(rectified(coarse, scene.inputs)), torch.from_numpy(results["grad-cam"][0])
        )
    table(f"Grad-CAM of {layer}", seconds, notes)


def rectified(coarse: Tensor, inputs: Tensor) -> np.ndarray:
    """A layer's map as in the package grad-cam: clipped at 0, scaled to 0..1, enlarged, scaled to 0..1 again."""
    from pytorch_grad_cam.utils.image import scale_cam_image

    return scale_cam_image(scale_cam_image(coarse.clamp(min=0)[None].numpy(), tuple(inputs.shape[:1:-1])))[0]


def largest_difference(ours: Tensor, theirs: Tensor) -> str:
    return f"largest difference {float((ours - theirs).abs().max() / ours.abs().max()):.1e} of the largest value"


def integrated(scene: Scene) -> None:
    """Integrated Gradients: the time of one gradient, and the error for each number of steps, compared with captum."""
    from captum.attr import IntegratedGradients as Peer

    black, peer = scene.explained.inputs(torch.zeros_like(scene.inputs)), Peer(scene.score)

    def captum(steps: int, batch: int | None = None) -> Tensor:
        return peer.attribute(scene.inputs, black, n_steps=steps, internal_batch_size=batch).detach()

    ways: Ways = {
        "lightcnn, 16 and 32 steps": lambda: ours(scene, 32),
        "captum, 50 steps at once": lambda: captum(50),
        "captum, 50 steps in our batches": lambda: captum(50, scene.batch),
    }
    results, seconds = interleaved(ways, scene.rounds)
    gradients = dict.fromkeys(ways, 50) | {
        "lightcnn, 16 and 32 steps": results["lightcnn, 16 and 32 steps"].facts["evaluations"]
    }
    each = {name: [total / gradients[name] for total in rounds] for name, rounds in seconds.items()}
    table("Integrated Gradients, a gradient", each, {name: f"{count} gradients" for name, count in gradients.items()})
    with torch.no_grad():
        ends = [float(scene.score(end)) for end in (scene.inputs, black)]
    print(f"\n{'steps':>12}{'lightcnn %':>12}{'captum %':>12}   error, of a difference of {ends[0] - ends[1]:.3f}")
    for steps in STEPS:
        ours_percent = f"{100 * ours(scene, steps).facts['completeness_error']:12.3f}" if steps in OURS else f"{'':12}"
        error = completeness_error(float(captum(steps, scene.batch).double().sum()), *ends)
        print(f"{steps:12}{ours_percent}{100 * error:12.3f}", flush=True)
    chosen = IntegratedGradients()(scene.explained, scene.inputs, scene.target).facts
    print(
        f"chosen: {chosen['steps']:4}{100 * chosen['completeness_error']:12.3f}{'':12}   "
        f"{chosen['evaluations']} gradients in all"
    )


def ours(scene: Scene, steps: int) -> Attribution:
    """Integrated Gradients with exactly this number of steps, whatever the error."""
    return IntegratedGradients(tolerance=-1.0, max_steps=steps)(scene.explained, scene.inputs, scene.target)


def lime(scene: Scene) -> None:
    """LIME with the same superpixels and samples: its time beyond the forward passes, and whether the maps agree."""
    pixels = scene.explained.pixels(scene.inputs)[0].permute(1, 2, 0).numpy()
    segments = superpixels(pixels)
    rows = draw(scene.samples, int(segments.max()) + 1, 0)
    clock, shares = Clock(scene.explained.model), []

    def ours() -> np.ndarray:
        clock.seconds, start = 0.0, time.perf_counter()
        values = Lime(samples=scene.samples)(scene.explained, scene.inputs, scene.target).map
        shares.append(1 - clock.seconds / (time.perf_counter() - start))
        return values

    ways: Ways = {"lightcnn": ours, "captum Lime": lambda: captums_lime(scene, segments, rows)}
    if installed("lime"):
        ways["lime"] = lambda: limes_lime(scene, segments, rows)
    maps, seconds = interleaved(ways, scene.rounds)
    first = np.unique(segments, return_index=True)[1]
    weights = {name: values.ravel()[first] for name, values in maps.items()}
    other = Lime(samples=scene.samples, seed=1)(scene.explained, scene.inputs, scene.target)
    notes = {
        name: f"rank correlation with ours {spearmanr(weights['lightcnn'], values).statistic:.4f}, "
        f"largest difference {abs(maps[name] - maps['lightcnn']).max() / abs(maps['lightcnn']).max():.1e} of the range"
        for name, values in weights.items()
    }
    again = spearmanr(weights["lightcnn"], other.map.ravel()[first]).statistic
    notes["lightcnn"] = (
        f"{100 * statistics.median(shares[1:]):.1f} % beyond the forwards, R² {other.facts['r2']:.2f}, "
        f"the probability moves by {other.facts['spread']:.2f}, rank correlation with seed 1 {again:.2f}"
    )
    table(f"LIME, {scene.samples} samples of {rows.shape[1]} superpixels, batches of {scene.batch}", seconds, notes)


def captums_lime(scene: Scene, segments: np.ndarray, rows: np.ndarray) -> np.ndarray:
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime as Peer

    def samples(original: Tensor, **kwargs: Any) -> Iterator[Tensor]:
        yield from torch.from_numpy(rows).float()[:, None]

    def similarity(original: Tensor, perturbed: Tensor, shown: Tensor, **kwargs: Any) -> float:
        return float(proximity(shown.numpy(), 0.25)[0])

    peer = Peer(lambda x: probability(scene, x)[:, scene.target], SkLearnRidge(alpha=1.0), similarity, samples)
    attributions = peer.attribute(
        scene.inputs, hidden(scene.inputs, segments), feature_mask=torch.from_numpy(segments)[None, None],
        n_samples=len(rows), perturbations_per_eval=scene.batch,
    )  # fmt: skip
    return attributions[0, 0].numpy()


def limes_lime(scene: Scene, segments: np.ndarray, rows: np.ndarray) -> np.ndarray:
    from lime.lime_image import LimeImageExplainer

    class Ours(np.random.RandomState):
        """Returns the samples of lightcnn."""

        def randint(self, low: int, high: int, size: int) -> np.ndarray:
            return rows.astype(int).ravel()

    with redirect_stderr(StringIO()):
        explanation = LimeImageExplainer(random_state=Ours()).explain_instance(
            scene.inputs[0].permute(1, 2, 0).numpy(),
            lambda images: probability(scene, torch.from_numpy(images).permute(0, 3, 1, 2)).numpy(),
            labels=(scene.target,), top_labels=None, num_samples=len(rows), batch_size=scene.batch,
            segmentation_fn=lambda image: segments, random_seed=0,
        )  # fmt: skip
    return np.array([weight for _, weight in sorted(explanation.local_exp[scene.target])])[segments]


def probability(scene: Scene, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return class_probabilities(scene.peer(inputs), scene.explained.temperature)


def occlusion(scene: Scene) -> None:
    """Occlusion with 64 windows, compared with captum."""
    from captum.attr import Occlusion as Peer

    window, peer = (3, 16, 16), Peer(scene.score)

    def captum() -> Tensor:
        with torch.inference_mode():
            return peer.attribute(scene.inputs, window, window, baselines=0.0)

    ways: Ways = {"lightcnn": lambda: Occlusion(16, 16)(scene.explained, scene.inputs, scene.target), "captum": captum}
    results, seconds = interleaved(ways, scene.rounds)
    notes = {"captum": largest_difference(torch.from_numpy(results["lightcnn"].map), results["captum"][0, 0])}
    table("Occlusion, 64 windows", seconds, notes)


def memory(batch: int) -> list[str]:
    """For LIME and Integrated Gradients: additional memory of a process, and the largest number of images at once."""
    rows = []
    for method in ("lime", "ig"):
        command = [sys.executable, __file__, "--memory", method, "--batch", str(batch)]
        process = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(process.stdout.strip())
    return rows


def print_memory(method: str, batch: int) -> None:
    explained = ExplainedNetwork.of(
        build(NetworkSpec.load(GOLDEN), 0).to(memory_format=torch.channels_last), RULE, batch=batch
    )
    inputs = explained.inputs(lesion_images(4)[:1])
    ways = {"lime": Lime(samples=128), "ig": IntegratedGradients(tolerance=-1.0, max_steps=128)}
    superpixels(inputs[0].permute(1, 2, 0).numpy())
    clock, before = Clock(explained.model), resident("VmRSS")
    ways[method](explained, inputs, 0)
    more = resident("VmHWM") - before
    print(f"{method:6}--batch {batch:<4}{clock.most:4} images at once at most, {more:5.0f} MiB more than before it")


def resident(name: str) -> float:
    """MiB of this process as Linux reports them; `ru_maxrss` would include the memory of the parent."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="*", default=(), help="Run folders whose networks are used instead of the two.")
    parser.add_argument("--samples", type=int, default=300, help="Samples of LIME (default: 300).")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=("lime", "ig"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        return print_memory(options.memory, options.batch)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    for name, model, rule in networks(options.run):
        print(f"\n=== {name}, torch {torch.__version__}, 1 thread, medians of {options.rounds} rounds", flush=True)
        scene = scene_of(model, rule, options)
        for section in (gradcam, integrated, lime, occlusion):
            section(scene)
    print("\nMemory of a process of its own, MicroMPoxNet, LIME by 128 samples and Integrated Gradients by 128 steps")
    for batch in (8, 64):
        print("\n".join(memory(batch)), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")
    return None


def scene_of(model: nn.Module, rule: Preprocess, options: argparse.Namespace) -> Scene:
    explained = ExplainedNetwork.of(model, rule, batch=options.batch)
    inputs = explained.inputs(lesion_images(4)[:1])
    peer = eval_copy(explained.model).requires_grad_(True)
    target = int(explained.probabilities(inputs).argmax())
    return Scene(model, explained, peer, inputs, options.samples, options.rounds, target)


if __name__ == "__main__":
    main()
