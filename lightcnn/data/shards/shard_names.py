"""The shards that a user names: one file, a pattern such as `train-{000..099}.tar`, or a folder of .tar files."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from lightcnn.data.dataset import SPLIT_NAMES
from lightcnn.data.files.spelling import SPLIT_ALIASES, leads_out
from lightcnn.data.files.walk import hidden, holds_runs_only
from lightcnn.data.shards.archive import UNCOMPRESS
from lightcnn.errors import DataError

SUFFIX = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
MAX_SHARDS = 100_000
"""Most shards of a pattern: more are a mistake in its numbers."""
MAX_LISTED = 3
"""Most shards that an error names."""


def names_shards(source: str) -> bool:
    """Whether a source is shards: it ends as a tar file does, or is a folder with such files and no folders."""
    if _is_tar(source):
        return True
    if not os.path.isdir(source):  # noqa: PTH112 - pathlib raises an error for a name that is too long
        return False
    with os.scandir(source) as entries:
        visible = [Path(entry.path) for entry in entries if not hidden(Path(entry.name))]
    folders = [path for path in visible if path.is_dir() and not holds_runs_only(path)]
    return any(_is_tar(path.name) for path in visible) and not folders


def shard_paths(source: str) -> list[Path]:
    """The shards of a source that `names_shards`, in order. Raises: DataError if there are none, or one is missing."""
    path = Path(source)
    if path.is_dir():
        shards = sorted(path / entry.name for entry in os.scandir(path) if _is_tar(entry.name))
        shards = [shard for shard in shards if not hidden(shard)]
        for shard in shards:
            if leads_out(shard, path.resolve()):
                raise DataError(f"data {shard}: a link that leads out of {path}; move the shard there")
    else:
        shards = [path] if path.exists() else [Path(name) for name in expanded(source)]
    for shard in shards:
        if shard.name.lower().endswith(COMPRESSED):
            raise DataError(f"data {shard}: {UNCOMPRESS}")
    _require_all(source, shards)
    return shards


def expanded(pattern: str) -> list[str]:
    """The names of a pattern with `{000..099}` or `{train,val}` in it, in order. Raises: DataError."""
    parts = re.split(r"(\{[^{}]*\})", pattern)
    choices = [_choices(pattern, part) if part.startswith("{") else [part] for part in parts]
    if any(brace in part for part in parts[::2] for brace in "{}"):
        raise DataError(f"data {pattern}: a brace without its counterpart; write shards as {{000..099}}")
    if math.prod(map(len, choices)) > MAX_SHARDS:
        raise DataError(f"data {pattern}: more than {MAX_SHARDS:,} shards; check its numbers")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def shown_names(shards: Sequence[Path]) -> list[str]:
    """The name of each shard in reports: below the folder that all of them have in common."""
    folder = os.path.commonpath([shard.parent for shard in shards])
    return [str(shard.relative_to(folder)) for shard in shards]


def splits_of(shards: Sequence[Path]) -> list[str]:
    """The set of each shard if all are named by one, as `train-000.tar` is, else empty texts.

    Raises: DataError if some names are those of a set and others are not, or none is `train`.
    """
    words = [_first_word(shard) for shard in shards]
    if not any(word in (*SPLIT_NAMES, *SPLIT_ALIASES) for word in words):
        return [""] * len(shards)
    for word, shard in zip(words, shards, strict=True):
        if word not in SPLIT_NAMES:
            remedy = f"rename it to {SPLIT_ALIASES[word]}" if word in SPLIT_ALIASES else "rename it, or leave it out"
            raise DataError(
                f"data {shard}: is given with shards named by sets, but is not named {', '.join(SPLIT_NAMES)}; {remedy}"
            )
    if "train" not in words:
        raise DataError(f"data {shards[0]}: there are shards of {words[0]}, but none of train; add them")
    return words


def _choices(pattern: str, braces: str) -> list[str]:
    """What `{000..099}` or `{train,val}` is expanded to. Raises: DataError."""
    inner = braces[1:-1]
    numbers = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", inner, re.ASCII)
    if numbers:
        first, last = numbers.groups()
        if int(first) > int(last) or int(last) - int(first) >= MAX_SHARDS:
            raise DataError(
                f"data {pattern}: {braces} counts from {first} to {last}; count upwards, at most {MAX_SHARDS:,} shards"
            )
        padded = first.startswith("0") or last.startswith("0")
        width = max(len(first), len(last)) if padded else 0
        return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
    if "," in inner and all(inner.split(",")):
        return inner.split(",")
    raise DataError(
        f"data {pattern}: {braces} is not a range of numbers or a list; write {{000..099}} or {{train,val}}"
    )


def _require_all(source: str, shards: Sequence[Path]) -> None:
    """Raises: DataError if shards are missing or named twice."""
    missing = [shard for shard in shards if not shard.exists()]
    if missing:
        listed = ", ".join(map(str, missing[:MAX_LISTED])) + (", ..." if len(missing) > MAX_LISTED else "")
        raise DataError(
            f"data {source}: {len(missing):,} of {len(shards):,} shards are missing ({listed}); check the path"
        )
    files: dict[Path, Path] = {}
    for shard in shards:
        first = files.setdefault(shard.resolve(), shard)
        if first is not shard:
            raise DataError(f"data {shard}: is the same file as {first}; keep one of them")


def _is_tar(name: str) -> bool:
    return name.lower().endswith((SUFFIX, *COMPRESSED))


def _first_word(shard: Path) -> str:
    """The letters that a shard's name begins with, in lower case."""
    match = re.match(r"[a-z]+(?![^\W\d_])", PurePath(shard.name).stem.lower())
    return match[0] if match else ""
