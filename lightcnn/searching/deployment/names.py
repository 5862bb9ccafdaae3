"""The formats in 8 bits that a search can compare its finalists in: the command line and the settings read them."""

from __future__ import annotations

from typing import Literal, get_args

DeployName = Literal["c", "onnx-int8"]
DEPLOYMENTS: tuple[DeployName, ...] = get_args(DeployName)
