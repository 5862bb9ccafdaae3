"""Images inside shards, which are decoded like files: by shard, offset and size, so that they are read at random."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import DataError


@dataclass(frozen=True)
class ShardImage:
    """The content of an image file in a shard; `decode` reads it like a path."""

    shard: Path
    name: str
    offset: int
    size: int

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    def open(self, mode: Literal["rb"] = "rb", /) -> IO[bytes]:
        """The content in memory. Raises: DataError if the shard is shorter than when it was indexed."""
        with open(self.shard, mode, buffering=0) as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise DataError("is cut off, since its shard has changed")
        return io.BytesIO(content)

    def is_symlink(self) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class ShardFiles:
    """N images in shards: `names` as in reports, and number of the shard, offset and size in bytes, (N,) each."""

    shards: tuple[Path, ...]
    names: tuple[str, ...]
    shard_numbers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> ShardImage:
        shard = self.shards[self.shard_numbers[index]]
        return ShardImage(shard, self.names[index], int(self.offsets[index]), int(self.sizes[index]))

    def chosen(self, positions: NDArray[np.int64]) -> ShardFiles:
        """The images at these positions."""
        return ShardFiles(
            self.shards, tuple(self.names[position] for position in positions.tolist()), self.shard_numbers[positions],
            self.offsets[positions], self.sizes[positions],
        )  # fmt: skip
