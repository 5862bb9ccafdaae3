"""Builds baselines: networks of timm with the paper's head or their own. The only module that imports timm."""

from __future__ import annotations

from itertools import chain
from typing import Any, Literal, cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from lightcnn.baseline_spec import AnySpec, BaselineSpec
from lightcnn.devices import require_memory
from lightcnn.errors import InputError
from lightcnn.network import build
from lightcnn.own_module import build_module
from lightcnn.pretrained import Statistics, download_failed, fetch, load_file, statistics_of
from lightcnn.spec import NetworkSpec, Shape
from lightcnn.text import first_line, nearest

HIDDEN_WIDTH = 256
"""Width of the dense layer in the paper's head."""


class Baseline(nn.Module):
    """A backbone of timm and its head: images (N, C, H, W) → logits (N, classes), or (N, 1) with a sigmoid.

    `build_baseline` builds one. With `spec.freeze`, only the classifying layers have gradients, and the backbone always
    stays in eval mode.

    Args:
        spec: The baseline as data.
        backbone: The network of timm.
        head: The layers on its features.
        note: Where the weights come from, and which tensors of their file were left out.

    Example:
        >>> import lightcnn
        >>> isinstance(lightcnn.build_baseline("timm:test_efficientnet", seed=0), lightcnn.Baseline)
        True
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
        """Logits of images; a greyscale image is repeated to three channels."""
        if self.spec.input[0] == 1:
            x = x.expand(-1, 3, -1, -1)
        logits: Tensor = self.head(self.backbone(x))
        return logits

    def train(self, mode: bool = True) -> Baseline:
        """Sets the training mode; a frozen backbone stays in eval mode, so that its norms keep their statistics."""
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
        classifier = cast(Any, self.backbone).get_classifier()
        return list(classifier) if isinstance(classifier, (tuple, list)) else [classifier]


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
    """Builds a baseline.

    Args:
        name: A name of `lightcnn list baselines`, or `timm:NAME` for any network of timm.
        input: Channels (1 or 3), height and width in pixels.
        classes: Number of classes; None: as many as the weights of timm have.
        sigmoid: Whether two classes have a single logit.
        head: `paper` (a hidden layer of 256, dropout, classifier) or `own` (timm's classifier).
        weights: `none`, `timm`, or a `.safetensors` file.
        dropout: Dropout rate before the classifier.
        freeze: Whether only the head is trained.
        seed: Seed of the random weights; None uses the global random state.

    Returns:
        The network; its `note` describes its weights.

    Raises:
        InputError: If timm has no such network or weights, or the input does not fit the network.

    Example:
        >>> import lightcnn, torch
        >>> model = lightcnn.build_baseline("timm:test_efficientnet", input=(3, 64, 64), seed=0)
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 2])
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


def build_network(network: AnySpec, seed: int | None = None, *, pretrained: bool = True) -> nn.Module:
    """Builds a network: one of lightcnn's blocks, a baseline, or a copy of the own module that is given.

    Args:
        network: The network as data.
        seed: Seed of the random weights; None uses the global random state.
        pretrained: Whether to load the `weights` of a baseline; False if all weights come from a run afterwards.

    Returns:
        The network, in training mode.

    Raises:
        InputError: If the input does not fit the baseline, or its weights are not available.

    Example:
        >>> import lightcnn
        >>> type(lightcnn.build_network(lightcnn.Recipe.load("quick").network, 0)).__name__
        'Network'
    """
    if isinstance(network, NetworkSpec):
        return build(network, seed)
    return _baseline(network, seed, pretrained) if isinstance(network, BaselineSpec) else build_module(network)


def configuration(name: str, key: str = "network.baseline:") -> Any:
    """timm's configuration of a network's weights: classes, mean, std, interpolation, hub id, url.

    Raises: InputError for a name that timm does not know; the message begins with `key` and has the nearest name.
    """
    import timm

    try:
        known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError as error:
        tags = ", ".join(tag.partition(".")[2] for tag in timm.list_pretrained(name.partition(".")[0] + ".*"))
        raise InputError(f"{key} timm:{name}: {str(error).rstrip('.')}; its weights are {tags or 'none'}") from None
    if known is None:
        raise InputError(
            f"{key} timm:{name}: timm {timm.__version__} has no such network"
            f"{nearest(name, timm.list_models()) or '; timm.list_models() lists the names'}"
        )
    return known


def pretrained_statistics(network: BaselineSpec) -> Statistics | None:
    """The statistics, per channel of `input`, for which pretrained weights expect images to be normalised.

    None for `weights: none`. Raises: InputError.
    """
    return statistics_of(network.weights, configuration(network.timm), network.input[0])


def require_weights(network: AnySpec) -> None:
    """Checks that weights which timm loads are on this machine or can be downloaded; downloads nothing.

    Raises: InputError, as the training would.
    """
    if isinstance(network, BaselineSpec) and network.weights == "timm":
        fetch(configuration(network.timm), network.timm)


def require_pretrained(name: str, key: str, remedy: str) -> None:
    """Checks, as `require_weights`, that the weights of a network of timm are here or can be downloaded.

    Raises: InputError; the message begins with `key`, and `remedy` is how to use a file instead.
    """
    fetch(configuration(name, key), name, f"{key} timm:{name}", remedy)


def parameters_with_buffers(model: nn.Module) -> int:
    """Parameters and running statistics of BatchNorm: the total that Keras prints, without `num_batches_tracked`."""
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    statistics = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
    return sum(p.numel() for p in model.parameters()) + sum(s.numel() for s in statistics if s is not None)


def _baseline(spec: BaselineSpec, seed: int | None, pretrained: bool) -> Baseline:
    weights = spec.weights if pretrained else "none"
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        backbone = _backbone(spec, weights)
        left_out = _classifiers(spec)
        if spec.head == "paper" and _is_vgg(backbone):
            # The dense layers of 4096 of VGG: the paper's head is on the pooled convolutions.
            backbone.pre_logits, left_out = nn.Identity(), (*left_out, "pre_logits.")
        width = _width(backbone, spec)
        head = nn.Identity() if spec.head == "own" else _paper_head(width, spec)
        note = {"none": "random weights", "timm": f"weights of timm:{spec.timm}"}.get(weights)
        return Baseline(spec, backbone, head, note or load_file(backbone, weights, left_out))


def _paper_head(width: int, spec: BaselineSpec) -> nn.Sequential:
    """Dense 256, dropout, classifier. The paper names no activation; ReLU is the choice of lightcnn."""
    return nn.Sequential(
        nn.Linear(width, HIDDEN_WIDTH), nn.ReLU(), nn.Dropout(spec.dropout), nn.Linear(HIDDEN_WIDTH, spec.logits)
    )


def _backbone(spec: BaselineSpec, weights: str) -> nn.Module:
    """timm's network with one output per logit, or with none for the paper's head. Raises: InputError.

    The new classifier of pretrained weights is PyTorch's: that of timm begins with logits of several units in networks
    of the EfficientNet family, so that the first steps would spoil the weights.
    """
    import timm

    known = configuration(spec.timm)
    outputs = spec.logits if spec.head == "own" else 0
    options: dict[str, Any] = {}
    if spec.head == "own" and spec.dropout:
        options["drop_rate"] = spec.dropout
    if known.fixed_input_size and spec.input[1:] != tuple(known.input_size[1:]):
        options["img_size"] = spec.input[1:]
    if weights == "timm":
        # With the number of classes of the weights, timm loads strictly; with any other number it does not.
        options |= {"pretrained": True, "pretrained_cfg_overlay": fetch(known, spec.timm)}
    else:
        options |= {"num_classes": outputs}
    _require_memory(spec, outputs)
    try:
        backbone = timm.create_model(spec.timm, **options)
    except OSError as error:
        raise download_failed(spec.timm, known.url or known.hf_hub_id, error) from None
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(f"network.baseline: {spec.baseline} cannot be built by timm: {first_line(error)}") from None
    if weights != "none":
        cast(Any, backbone).reset_classifier(outputs)
    return backbone


def _require_memory(spec: BaselineSpec, outputs: int) -> None:
    """Raises: InputError if the weights do not fit into the free memory of the device on which they are made."""
    import timm

    device = torch.empty(0).device
    if device.type == "meta":
        return
    try:
        with torch.device("meta"):
            bare = timm.create_model(spec.timm, num_classes=outputs)
    except Exception:  # the real one is refused with its reason
        return
    require_memory(spec.baseline, sum(t.nbytes for t in (*bare.parameters(), *bare.buffers())), device)


def _width(backbone: nn.Module, spec: BaselineSpec) -> int:
    """Number of features per image of the backbone, by a pass on the meta device. Raises: InputError."""
    training = backbone.training
    shapes = {name: tensor.to("meta") for name, tensor in chain(backbone.named_parameters(), backbone.named_buffers())}
    size, default = ("×".join(map(str, shape)) for shape in (spec.input, configuration(spec.timm).input_size))
    try:
        with torch.no_grad():
            out = functional_call(backbone.eval(), shapes, (torch.zeros(1, 3, *spec.input[1:], device="meta"),))
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"network.input: {spec.baseline} cannot take {size} (its weights are for {default}): {first_line(error)}"
        ) from None
    finally:
        backbone.train(training)
    if not isinstance(out, Tensor) or out.ndim != 2 or (spec.head == "own" and out.shape[1] != spec.logits):
        rule = f"{spec.baseline} does not return the features that the head {spec.head!r} needs"
        raise InputError(f"network.baseline: {rule}; use another network")
    return int(out.shape[1])


def _classifiers(spec: BaselineSpec) -> tuple[str, ...]:
    """The prefixes of the names of the classifier's tensors."""
    names = configuration(spec.timm).classifier
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names or ()))


def _is_vgg(backbone: nn.Module) -> bool:
    from timm.models.vgg import VGG

    return isinstance(backbone, VGG)
