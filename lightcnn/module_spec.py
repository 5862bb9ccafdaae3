"""A network of Python code as data: what a run states about a module that was given in Python. No torch."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from pydantic import Field

from lightcnn.document import Frozen


class ModuleSpec(Frozen):
    """What is known of an own `torch.nn.Module`, whose code is not stored.

    `lightcnn.train(recipe, network=module)` writes it. Whoever uses the run gives the module again.
    """

    module: Annotated[str, Field(pattern=r"^\w{1,100}$", description="name of the class in Python")]
    input: Annotated[
        tuple[Annotated[int, Field(ge=1, le=3)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
        Field(description="channels, height and width in pixels"),
    ]
    classes: Annotated[int, Field(ge=2, le=100_000)]
    tensors: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of names, shapes and types of its tensors")
    ]

    @property
    def name(self) -> str:
        """The name in tables and reports."""
        return self.module

    def digest(self) -> str:
        """SHA-256 of what is known of the network, like `NetworkSpec.digest`."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
