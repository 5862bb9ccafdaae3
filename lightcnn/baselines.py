"""Baselines: networks of timm under the paper's head or their own, built. The only place that imports timm."""

from __future__ import annotations

from itertools import chain
from typing import Any, Literal, cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.errors import InputError
from lightcnn.network import Network, build
from lightcnn.pretrained import Statistics, fetch, load_file, statistics_of, unfetched
from lightcnn.spec import NetworkSpec, Shape
from lightcnn.text import first_line, nearest

HIDDEN = 256
"""Width of the dense layer in the paper's head."""


class Baseline(nn.Module):
    """A backbone of timm and what stands on it: (N, C, H, W) → logits (N, classes), or (N, 1) with a sigmoid.

    `.spec` is its spec, `.note` says where its weights came from and which tensors of a file were left out. With
    `freeze` only the classifying layers have gradients, and the backbone stays in eval mode whatever `train` says.
    """

    def __init__(self, spec: BaselineSpec, backbone: nn.Module, head: nn.Module, note: str) -> None:
        super().__init__()
        self.spec = spec
        self.note = note
        self.backbone = backbone
        self.head = head
        if spec.freeze:
            backbone.requires_grad_(False)
            for layer in self._classifying():
                layer.requires_grad_(True)
            self.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """A grey image is repeated to three channels."""
        if self.spec.input[0] == 1:
            x = x.expand(-1, 3, -1, -1)
        logits: Tensor = self.head(self.backbone(x))
        return logits

    def train(self, mode: bool = True) -> Baseline:
        """As of every module, but a frozen backbone stays in eval mode: its norms keep their statistics."""
        super().train(mode)
        if self.spec.freeze:
            self.backbone.eval()
            for layer in self._classifying():
                layer.train(mode)
        return self

    def _classifying(self) -> list[nn.Module]:
        """The layers of the backbone's own classifier that are trained with a frozen backbone."""
        if self.spec.head == "paper":
            return []
        found = cast(Any, self.backbone).get_classifier()
        return list(found) if isinstance(found, (tuple, list)) else [found]


def build_baseline(
    name: str,
    *,
    input: Shape = (3, 224, 224),
    classes: int | None = 2,
    sigmoid: bool = False,
    head: Literal["paper", "own"] = "paper",
    weights: str = "none",
    dropout: float = 0.5,
    freeze: bool = False,
    seed: int | None = None,
) -> Baseline:
    """The baseline of that name (a paper's, or `timm:NAME`); `classes=None` takes as many as timm's weights have.

    Raises: InputError.
    """
    try:
        spec = BaselineSpec(
            baseline=name, input=input, classes=classes or 2, sigmoid=sigmoid,
            head=head, dropout=dropout, weights=weights, freeze=freeze,
        )  # fmt: skip
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(map(str, detail["loc"])) or detail.get("ctx", {}).get("path", name)
        raise InputError(f"{where}: {detail['msg']}") from None
    if classes is None:
        spec = spec.model_copy(update={"classes": configuration(spec.timm).num_classes})
    return _baseline(spec, seed, pretrained=True)


def build_network(
    network: NetworkSpec | BaselineSpec, seed: int | None = None, *, pretrained: bool = True
) -> Network | Baseline:
    """The module of either sort of network. With a seed its own weights depend on that alone.

    `pretrained=False` leaves `weights` of a baseline aside: all weights are going to come from a run.
    Raises: InputError where the input does not fit the baseline, or its weights cannot be had.
    """
    return build(network, seed) if isinstance(network, NetworkSpec) else _baseline(network, seed, pretrained)


def configuration(name: str) -> Any:
    """timm's configuration of the weights of a network: classes, mean, std, interpolation, hub id, url.

    Raises: InputError for a name that timm does not know, with the nearest one.
    """
    import timm

    try:
        found = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError as error:
        tags = ", ".join(tag.partition(".")[2] for tag in timm.list_pretrained(name.partition(".")[0] + ".*"))
        raise InputError(
            f"network.baseline: timm:{name}: {str(error).rstrip('.')}; its weights are {tags or 'none'}"
        ) from None
    if found is None:
        raise InputError(
            f"network.baseline: timm:{name}: timm {timm.__version__} has no such network"
            f"{nearest(name, timm.list_models())}"
        )
    return found


def pretrained_statistics(network: BaselineSpec) -> Statistics | None:
    """What to normalise images with for pretrained weights, a value a channel of `input`; None for weights: none.

    Raises: InputError.
    """
    return statistics_of(network.weights, configuration(network.timm), network.input[0])


def parameters_with_buffers(model: nn.Module) -> int:
    """Parameters and BatchNorm's running statistics: the total that Keras prints (it has no `num_batches_tracked`)."""
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    statistics = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
    return sum(p.numel() for p in model.parameters()) + sum(s.numel() for s in statistics if s is not None)


def _baseline(spec: BaselineSpec, seed: int | None, pretrained: bool) -> Baseline:
    weights = spec.weights if pretrained else "none"
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        backbone = _backbone(spec, from_timm=weights == "timm")
        left_out = _classifiers(spec)
        if spec.head == "paper" and _is_vgg(backbone):
            # VGG's dense layers of 4096: the paper's head stands on pooled convolutions.
            backbone.pre_logits, left_out = nn.Identity(), (*left_out, "pre_logits.")
        width = _width(backbone, spec)
        head = nn.Identity() if spec.head == "own" else _paper_head(width, spec)
        note = {"none": "random weights", "timm": f"weights of timm:{spec.timm}"}.get(weights)
        return Baseline(spec, backbone, head, note or load_file(backbone, weights, left_out))


def _paper_head(width: int, spec: BaselineSpec) -> nn.Sequential:
    """Dense 256, dropout, classifier; the ReLU is ours, the paper names no activation."""
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(spec.dropout), nn.Linear(HIDDEN, spec.logits))


def _backbone(spec: BaselineSpec, from_timm: bool) -> nn.Module:
    """timm's network with as many outputs as are wanted, none for the paper's head. Raises: InputError."""
    import timm

    known = configuration(spec.timm)
    outputs = spec.logits if spec.head == "own" else 0
    options: dict[str, Any] = {}
    if spec.head == "own" and spec.dropout:
        options["drop_rate"] = spec.dropout
    if known.fixed_input_size and spec.input[1:] != tuple(known.input_size[1:]):
        options["img_size"] = spec.input[1:]
    if from_timm:
        # With as many classes as the weights have, timm loads strictly; it is lenient with any other number.
        options |= {"pretrained": True, "pretrained_cfg_overlay": fetch(known, spec.timm)}
    else:
        options |= {"num_classes": outputs}
    try:
        backbone = timm.create_model(spec.timm, **options)
    except OSError as error:
        raise unfetched(spec.timm, known.url or known.hf_hub_id, error) from None
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(f"network.baseline: {spec.baseline} cannot be made by timm: {first_line(error)}") from None
    if from_timm:
        cast(Any, backbone).reset_classifier(outputs)
    return backbone


def _width(backbone: nn.Module, spec: BaselineSpec) -> int:
    """Features per image that the backbone gives, by a pass without values. Raises: InputError for a wrong input."""
    training = backbone.training
    shapes = {name: tensor.to("meta") for name, tensor in chain(backbone.named_parameters(), backbone.named_buffers())}
    size, usual = ("×".join(map(str, shape)) for shape in (spec.input, configuration(spec.timm).input_size))
    try:
        with torch.no_grad():
            out = functional_call(backbone.eval(), shapes, (torch.zeros(1, 3, *spec.input[1:], device="meta"),))
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"network.input: {spec.baseline} cannot take {size} (its weights are for {usual}): {first_line(error)}"
        ) from None
    finally:
        backbone.train(training)
    if not isinstance(out, Tensor) or out.ndim != 2 or (spec.head == "own" and out.shape[1] != spec.logits):
        raise InputError(f"network.baseline: {spec.baseline} does not give what a {spec.head} head needs; use another")
    return int(out.shape[1])


def _classifiers(spec: BaselineSpec) -> tuple[str, ...]:
    """How the names of the classifier's tensors begin."""
    names = configuration(spec.timm).classifier
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names or ()))


def _is_vgg(backbone: nn.Module) -> bool:
    from timm.models.vgg import VGG

    return isinstance(backbone, VGG)
