"""Registers the network of a run in timm, whose functions then make it by name. timm is imported only when asked for.

`baselines` takes networks from timm; this module gives timm one, and nothing of lightcnn needs it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lightcnn.baseline_spec import load_network
from lightcnn.data.preprocess import Preprocess, read_preprocess
from lightcnn.errors import InputError, RunError
from lightcnn.module_spec import ModuleSpec
from lightcnn.network import Network, build
from lightcnn.python_calls import python_call
from lightcnn.run_folder import NETWORK_FILES, RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.weights import read_network

PREFIX = "lightcnn_"


class TimmNetwork(nn.Module):
    """A network with the methods that timm's training and feature extraction use; tensors have the same names."""

    def __init__(self, network: Network, preprocess: Preprocess) -> None:
        super().__init__()
        self.stem, self.stages, self.head = network.stem, network.stages, network.head
        self.num_classes = network.spec.logits
        classifier: nn.Linear = network.head.classifier
        self.head_hidden_size = classifier.in_features
        self.num_features = network.head.hidden[0].in_features if network.head.hidden else classifier.in_features
        self.pretrained_cfg = {
            "input_size": network.spec.input, "mean": preprocess.mean, "std": preprocess.deviation,
            "interpolation": "bilinear", "crop_pct": 1.0, "num_classes": self.num_classes,
            "classifier": "head.classifier",
        }  # fmt: skip

    def forward_features(self, x: Tensor) -> Tensor:
        """The feature map (N, num_features, H, W) before pooling."""
        features: Tensor = self.stages(self.stem(x))
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of a feature map; with `pre_logits`, the features (N, head_hidden_size) of the classifier."""
        if not pre_logits:
            logits: Tensor = self.head(x)
            return logits
        features: Tensor = self.head.pool(x).flatten(1)
        for layer in self.head.hidden:
            features = self.head.act(layer(features))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (N, C, H, W)."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last dense layer."""
        classifier: nn.Module = self.head.classifier
        return classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Makes a new classifier with random weights; without classes, the network returns features."""
        if global_pool is not None:
            raise InputError(f"reset_classifier: global_pool={global_pool!r}: the pooling cannot be changed")
        layer: nn.Module = nn.Linear(self.head_hidden_size, num_classes) if num_classes else nn.Identity()
        parameter = next(self.parameters())
        self.head.add_module("classifier", layer.to(parameter.device, parameter.dtype))
        self.num_classes = num_classes


def _is_neutral(option: str, value: Any, spec: NetworkSpec) -> bool:
    """Whether an option of timm leaves the network as it is."""
    if option == "in_chans":
        return bool(value == spec.input[0])
    if option in ("drop_rate", "drop_path_rate"):
        return not value
    return option in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")  # timm always passes them


@python_call
def register_timm(run: RunFolder | str | Path, name: str | None = None) -> str:
    """Registers the network of a run in timm, for this process.

    `timm.create_model(NAME, pretrained=True)` then makes it with the weights of the run, and without `pretrained` with
    random weights, as timm does for all networks. The network is read when it is made: of a run that was continued
    since, it is the newest. `num_classes` gives it a new classifier. Sigmoid heads have one
    logit. `timm.data.resolve_model_data_config` gives its input size and normalisation.

    Args:
        run: A finished run of search or train, or its folder.
        name: The name after `lightcnn_` (default: that of the run folder).

    Returns:
        The name in timm, such as `lightcnn_mine`.

    Raises:
        InputError: If the run has no network of lightcnn's blocks, or the name has neither letters from A to Z nor
            digits, or belongs to another network.

    Example:
        >>> import lightcnn, timm
        >>> timm.create_model(lightcnn.register_timm("runs/short"), pretrained=True).num_classes
        2
    """
    import timm

    folder = run if isinstance(run, RunFolder) else RunFolder.load(run)
    path = folder.path.resolve()
    full = PREFIX + _name_in_timm(path.name if name is None else name)
    spec, _ = _read(path)
    read_network(path / "weights.safetensors", spec)  # so that a damaged file is reported now
    if timm.is_model(full):
        if getattr(timm.models.model_entrypoint(full), "run", None) == path:
            return full
        raise InputError(f"name: {full} is registered for another network; give another name")

    def create(pretrained: bool = False, *, num_classes: int | None = None, **options: Any) -> TimmNetwork:
        spec, preprocess = _read(path)  # as they are now: a run may have been continued
        if unknown := [f"{key}={value}" for key, value in sorted(options.items()) if not _is_neutral(key, value, spec)]:
            raise InputError(f"{full}: takes pretrained and num_classes only, not {', '.join(unknown)}")
        network = read_network(path / "weights.safetensors", spec) if pretrained else build(spec)
        assert isinstance(network, Network)
        model = TimmNetwork(network, preprocess)
        if num_classes is not None and num_classes != model.num_classes:
            model.reset_classifier(num_classes)
        return model

    create.__name__ = full
    create.run = path  # type: ignore[attr-defined]
    timm.models.register_model(create)
    return full


def _name_in_timm(name: Any) -> str:
    """The name in small letters, with `_` in place of other characters. Raises: InputError if nothing is left."""
    if not isinstance(name, str):
        raise InputError(f"name={name!r}: has type {type(name).__name__}; give a text such as 'mine'")
    words = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    if not words:
        raise InputError(f"name={name!r}: has neither letters from A to Z nor digits; give a name such as 'mine'")
    return words


def _read(path: Path) -> tuple[NetworkSpec, Preprocess]:
    """Network and preprocessing of the run in a folder. Raises: RunError if timm cannot have its network."""
    folder = RunFolder.load(path)
    folder.require(*NETWORK_FILES)
    spec = load_network(folder / "spec.yaml")
    if isinstance(spec, ModuleSpec):
        raise RunError(
            f"run {path}: its network {spec.module} is a module of Python; register the function that makes it with "
            "timm.models.register_model"
        )
    if not isinstance(spec, NetworkSpec):
        raise RunError(f"run {path}: its network is the baseline {spec.baseline}, which timm has already")
    return spec, read_preprocess(folder / "preprocess.json")
