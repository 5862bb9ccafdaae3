"""What `lightcnn.explain` needs of the model that it is given. No torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lightcnn.explaining.explained import Explained, Inputs
from lightcnn.explaining.images.image import ImageReading, from_array, from_file
from lightcnn.explaining.methods.catalogue import DEFAULT_METHODS

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Subject:
    """An image (1, C, H, W) as the network reads it, the same for people, and its ground-truth mask (H, W)."""

    name: str
    inputs: Inputs
    seen: NDArray[np.uint8]
    mask: Mask | None


@dataclass(frozen=True, eq=False)
class OpenedModel(ABC):
    """A network, and how its images become inputs. `default_methods` are the names of those used if none is named."""

    network: Explained
    default_methods: ClassVar[tuple[str, ...]] = DEFAULT_METHODS

    @property
    @abstractmethod
    def note(self) -> str:
        """What is assumed about a network that does not state it, in one sentence; otherwise empty."""

    @property
    def batch_note(self) -> str:
        """A sentence if the memory did not suffice for all images at once; otherwise empty."""
        return ""

    @property
    def takes_pixels(self) -> bool:
        """Whether images are paths or uint8 arrays, not float tensors as the network reads them."""
        return True

    def instabilities(self, inputs: Inputs) -> list[str]:
        """Why the outputs for an image (1, C, H, W) are not always the same."""
        return []

    def fixed_randomness(self, seed: int) -> AbstractContextManager[Any]:
        """Seeds the random numbers that the network may draw, and restores their states at the end."""
        return nullcontext()

    @abstractmethod
    def subject(self, name: str, image: Any, mask: Mask | None) -> Subject:
        """An image, prepared. Raises: DataError if it or its mask cannot be used."""

    def _subject_of_pixels(self, name: str, image: Any, mask: Mask | None, reading: ImageReading) -> Subject:
        """The same for a path or an array uint8 (H, W, C)."""
        if isinstance(image, Path):
            prepared = from_file(image, reading, mask)
        else:
            prepared = from_array(name, image, reading, mask)
        return Subject(name, self.network.inputs_of(prepared.seen), prepared.seen, prepared.mask)
