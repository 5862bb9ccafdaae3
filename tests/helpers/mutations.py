"""Random changes of valid files: JSON documents, YAML texts, and bytes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 3, 1.5, 10**400, 1e308, -1e308, float("nan"), float("inf"), "", "x", "1",
    "../../outside/secret.txt", "/dev/zero", "\x1b[31m", "\ud800", "9" * 5_000, [], {}, [[]], {"a": 1}, [1] * 50,
)  # fmt: skip
"""What a file of someone else has instead of the value that lightcnn wrote."""
WORDS = (
    "null", "~", "true", "no", "-1", "0", "1e999", ".nan", ".inf", "9" * 400, '""', "'", '"', "x", "[", "]", "{", "}",
    "[]", "{}", "- -", ": :", "&a", "*a", "!!python/object:os.system", "<<: *a", "%YAML 9.9", "---", "...", "\t",
    "\x1b[31m", "\0", "\u2028", "# ", "|", ">", "0x10", "1_000", "2026-01-01", "é", "\ud83d",
)  # fmt: skip
"""Parts of YAML, and of what is none."""


def json_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values of a document; of a list those of its first three."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from json_paths(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(min(3, len(value))):
            yield from json_paths(value[index], (*path, index))


def mutated_json(value: Any, random: Random) -> Any:
    """A document with one value dropped, added, nested deeply or replaced; all depths are equally likely."""
    value = copy.deepcopy(value)
    paths = list(json_paths(value))
    depth = random.randint(0, max(map(len, paths)))
    path = random.choice([path for path in paths if len(path) == depth])
    if not path:
        return random.choice(VALUES)
    parent = value
    for part in path[:-1]:
        parent = parent[part]
    how = random.choice(("drop", "add", "nest", "replace", "replace", "replace"))
    if how == "drop":
        del parent[path[-1]]
    elif how == "add" and isinstance(parent, dict):
        parent[random.choice(("extra", "", "version"))] = random.choice(VALUES)
    elif how == "nest":
        parent[path[-1]] = nested(parent[path[-1]], 300)
    else:
        parent[path[-1]] = random.choice(VALUES)
    return value


def nested(value: Any, depth: int) -> Any:
    """The value inside `depth` lists."""
    for _ in range(depth):
        value = [value]
    return value


def mutated_text(text: str, random: Random) -> str:
    """A YAML text with one to three changes of lines, values or characters."""
    lines = text.splitlines()
    for _ in range(random.randint(1, 3)):
        number = random.randrange(len(lines))
        line = lines[number]
        how = random.choice(("drop", "repeat", "indent", "value", "value", "key", "insert", "cut", "move"))
        if how == "drop" and len(lines) > 1:
            del lines[number]
        elif how == "repeat":
            lines.insert(random.randrange(len(lines) + 1), line)
        elif how == "indent":
            lines[number] = " " * random.randrange(6) + line.lstrip()
        elif how == "value" and ":" in line:
            lines[number] = f"{line.rpartition(':')[0]}: {random.choice(WORDS)}"
        elif how == "key" and ":" in line:
            lines[number] = f"{random.choice(WORDS)}: {line.partition(':')[2]}"
        elif how == "cut":
            lines[number] = line[: random.randrange(len(line) + 1)]
        elif how == "move":
            lines.insert(random.randrange(len(lines)), lines.pop(number))
        else:
            place = random.randrange(len(line) + 1)
            lines[number] = line[:place] + random.choice(WORDS) + line[place:]
    return "\n".join(lines) + "\n"


def mutated_bytes(content: bytes, random: Random) -> bytes:
    """Bytes with one to eight changes; most are at the beginning, where the headers are."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        end = len(changed) if random.random() < 0.5 else min(len(changed), 64)
        if not end:
            return bytes(changed)
        place, length = random.randrange(end), random.randint(1, 8)
        how = random.choice(("bit", "byte", "extreme", "cut", "drop", "insert", "copy"))
        if how == "bit":
            changed[place] ^= 1 << random.randrange(8)
        elif how == "byte":
            changed[place] = random.randrange(256)
        elif how == "extreme":
            changed[place : place + length] = random.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
        elif how == "cut" and random.random() < 0.3:
            del changed[place:]
        elif how == "drop":
            del changed[place : place + length]
        elif how == "insert":
            changed[place:place] = random.randbytes(length)
        else:
            changed[place:place] = changed[place : place + length * 4]
    return bytes(changed)
