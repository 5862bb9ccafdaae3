"""A baseline as data: a network of timm, the head on its features, and the source of its weights. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from lightcnn import document
from lightcnn.document import Frozen, rule_error
from lightcnn.module_spec import ModuleSpec
from lightcnn.spec import NetworkSpec, Rate
from lightcnn.text import nearest


@dataclass(frozen=True)
class PaperBaseline:
    """A baseline of the MicroMPoxNet paper (doi:10.1016/j.bspc.2026.110404).

    `total` counts what Keras counts: weights, running statistics of BatchNorm, and the paper's head with one output.
    `published` is the number that the paper prints, in millions, if any.
    """

    title: str
    timm: str
    features: int
    total: int
    published: float | None = None


BASELINES: dict[str, PaperBaseline] = {
    "vgg16": PaperBaseline("VGG16", "vgg16", 512, 14_846_273),
    "resnet50": PaperBaseline("ResNet50", "resnet50", 2048, 24_085_953),
    "resnet101": PaperBaseline("ResNet101", "resnet101", 2048, 43_130_305),
    "resnet50v2": PaperBaseline("ResNet50V2", "resnetv2_50", 2048, 24_070_593),
    "xception": PaperBaseline("Xception", "legacy_xception", 2048, 21_386_281, 21.39),
    "efficientnet_b0": PaperBaseline("EfficientNetB0", "tf_efficientnet_b0", 1280, 4_377_757),
    "efficientnet_b3": PaperBaseline("EfficientNetB3", "tf_efficientnet_b3", 1536, 11_177_257, 11.18),
    "efficientnet_b5": PaperBaseline("EfficientNetB5", "tf_efficientnet_b5", 2048, 29_038_321, 29.04),
    "efficientnetv2_b2": PaperBaseline("EfficientNetV2B2", "tf_efficientnetv2_b2", 1408, 9_130_335),
    "convnext_tiny": PaperBaseline("ConvNeXtTiny", "convnext_tiny", 768, 28_017_249, 28.02),
    "mobilenetv2": PaperBaseline("MobileNetV2", "mobilenetv2_100", 1280, 2_586_177),
}
"""The paper's 11 baselines by the names that users type. VGG16 has its convolutions and global pooling, without the two
dense layers of 4096."""

TIMM_PREFIX = "timm:"
TIMM_NAME = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?"
"""A name of timm; the part after a dot selects its weights."""
PICKLES = (".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt", ".tar")
Pixels = Annotated[int, Field(ge=1, le=4096)]


def _require_baseline(name: str) -> str:
    """A name of the table, or `timm:NAME`. Other sources of timm (hf-hub:, local-dir:) are refused."""
    if name in BASELINES or re.fullmatch(TIMM_PREFIX + TIMM_NAME, name):
        return name
    listed = f"{nearest(name, BASELINES)}; baselines: {', '.join(BASELINES)}"
    network = name if re.fullmatch(TIMM_NAME, name) else "NAME"
    raise rule_error(
        "", f"'{name}' is not a baseline{listed}; write any other network of timm as {TIMM_PREFIX}{network}"
    )


def _require_readable(weights: str) -> str:
    """`none`, `timm` or the name of a safetensors file; pickles are refused."""
    if weights in ("none", "timm") or weights.endswith(".safetensors"):
        return weights
    if weights.lower().endswith(PICKLES):
        raise rule_error(
            "", f"{weights} is a pickle, which is not read; convert it with: {conversion_command(weights)}"
        )
    near = nearest(weights, ("none", "timm"))
    raise rule_error("", f"'{weights}' is not none, timm or the name of a .safetensors file{near}")


def conversion_command(file: str) -> str:
    """The command that converts a pickle of tensors to a safetensors file, without running code of the pickle."""
    code = "import sys, torch; from safetensors.torch import save_file as s"
    return f'python -c "{code}; s(torch.load(sys.argv[1], weights_only=True), sys.argv[2])" {file} WEIGHTS.safetensors'


class BaselineSpec(Frozen):
    """A network of timm as a baseline: its name, input, classes, head and weights.

    `head: paper` is the head of the MicroMPoxNet paper on the globally pooled features: a dense layer of 256 with ReLU
    (chosen by lightcnn), dropout, classifier. `own` is timm's classifier of that network. A greyscale image is repeated
    to three channels, so that a baseline is the same network for every input.

    Args:
        baseline: A name of `lightcnn list baselines`, or `timm:NAME` for any network of timm.
        input: Channels (1 or 3), height and width in pixels.
        classes: Number of classes, at least 2.
        sigmoid: Whether two classes have a single logit.
        head: `paper` or `own`.
        dropout: Dropout rate before the classifier.
        weights: `none`, `timm`, or a `.safetensors` file.
        freeze: Whether only the head is trained.

    Example:
        >>> import lightcnn
        >>> lightcnn.BaselineSpec(baseline="mobilenetv2", classes=2).timm
        'mobilenetv2_100'
    """

    baseline: Annotated[
        str,
        AfterValidator(_require_baseline),
        Field(json_schema_extra={"anyOf": [{"enum": list(BASELINES)}, {"pattern": f"^{TIMM_PREFIX}"}]}),
    ]
    input: Annotated[
        tuple[Annotated[int, Field(ge=1, le=3, description="1 (greyscale) or 3")], Pixels, Pixels],
        Field(description="channels, height and width in pixels"),
    ] = (3, 224, 224)
    classes: Annotated[int, Field(ge=2, le=100_000)]
    sigmoid: Annotated[bool, Field(description="a single logit for two classes: that of the second class")] = False
    head: Literal["paper", "own"] = "paper"
    dropout: Annotated[Rate, Field(description="dropout rate before the classifier")] = 0.5
    weights: Annotated[
        str,
        AfterValidator(_require_readable),
        Field(description="none, timm (downloaded by timm), or a .safetensors file"),
    ] = "none"
    freeze: Annotated[
        bool, Field(description="train only the head; the norms of the backbone keep their statistics")
    ] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.input[0] == 2:
            raise rule_error("input.0", "a baseline reads 1 (greyscale) or 3 channels, not 2")
        if self.sigmoid and self.classes != 2:
            raise rule_error("sigmoid", f"a single logit is for two classes, not {self.classes}; leave sigmoid out")
        return self

    @property
    def name(self) -> str:
        """The name in tables and reports."""
        return self.baseline

    @property
    def logits(self) -> int:
        """Number of outputs of the network: 1 with `sigmoid`, `classes` otherwise."""
        return 1 if self.sigmoid else self.classes

    @property
    def timm(self) -> str:
        """The network's name in timm."""
        entry = BASELINES.get(self.baseline)
        return entry.timm if entry else self.baseline.removeprefix(TIMM_PREFIX)

    def digest(self) -> str:
        """SHA-256 of what the network computes, like `NetworkSpec.digest`; weights and training are not part of it."""
        computed = {name: getattr(self, name) for name in ("timm", "input", "head", "dropout", "logits")}
        text = json.dumps(computed, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> BaselineSpec:
        """Reads a baseline from a YAML file. Raises: DocumentError with every problem of the file."""
        return document.load(cls, path)

    def save(self, path: str | Path) -> None:
        """Writes YAML from which `load` reads an equal spec."""
        document.save(self, path)


AnySpec = NetworkSpec | BaselineSpec | ModuleSpec
"""A network as data, of any kind."""


def _kind(network: Any) -> str:
    """The class that a mapping is meant for, so that its errors refer to the keys of that class."""
    if not isinstance(network, Mapping):
        return type(network).__name__ if isinstance(network, BaselineSpec | ModuleSpec) else NetworkSpec.__name__
    if "module" in network:
        return ModuleSpec.__name__
    is_baseline = "baseline" in network or (
        not network.keys() & {"stages", "stem"} and any(nearest(key, ("baseline",)) for key in network)
    )
    return (BaselineSpec if is_baseline else NetworkSpec).__name__


AnyNetwork = Annotated[
    Annotated[NetworkSpec, Tag("NetworkSpec")]
    | Annotated[BaselineSpec, Tag("BaselineSpec")]
    | Annotated[ModuleSpec, Tag("ModuleSpec")],
    Discriminator(_kind),
]
"""A network of lightcnn's blocks, a baseline if it has the key `baseline`, an own module if it has `module`."""


def load_network(path: str | Path) -> AnySpec:
    """Reads a YAML file of any kind of network. Raises: DocumentError with every problem of the file."""
    text = document.read_text(path)
    match _kind(dict.fromkeys(document.keys(text, str(path)))):
        case BaselineSpec.__name__:
            return document.parse(BaselineSpec, text, str(path))
        case ModuleSpec.__name__:
            return document.parse(ModuleSpec, text, str(path))
    return document.parse(NetworkSpec, text, str(path))


def as_baseline(network: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The data of a network changed to those of a baseline, as `--set network.baseline=NAME` does in a recipe.

    Classes and a sigmoid are kept, blocks and head are dropped. The input becomes 224×224, the paper's size for
    transferred networks, with the channels as before. If the network is a baseline already, only its name changes.
    """
    if "baseline" in network:
        return {**network, "baseline": name}
    changed = {key: network[key] for key in ("classes",) if key in network}
    if isinstance(network.get("input"), (list, tuple)) and network["input"]:
        changed["input"] = [network["input"][0], 224, 224]
    if isinstance(network.get("head"), Mapping) and network["head"].get("output") == "sigmoid":
        changed["sigmoid"] = True
    return {"baseline": name} | changed
