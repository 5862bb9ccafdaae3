"""What a sample of a shard states about its image: the label, the group, and keys that look like patients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from lightcnn.data.files.spelling import composed
from lightcnn.data.grouping.identity_columns import looks_like_identity
from lightcnn.data.shards.archive import WRITE_AGAIN, Member
from lightcnn.data.sources.table import MAX_CHARACTERS, MISSING
from lightcnn.errors import DataError
from lightcnn.text import shorten

MAX_JSON_BYTES = 1_000_000
READ_KEYS = ("label", "group")
"""Keys of a .json that are read."""


class Facts(NamedTuple):
    """Label and group of an image; `group` is empty if the .json has none.

    `identities` are the keys of the .json that look like patients, lesions or studies but are not read.
    """

    label: str
    group: str = ""
    identities: tuple[tuple[str, str], ...] = ()


def read_facts(shard: Path, image: Member, files: Mapping[str, Member], content: IO[bytes]) -> Facts:
    """What the .cls and the .json of an image state; `content` is the open shard.

    Raises: DataError if there is no label, or two, or one of the files cannot be read.
    """
    label = _class_text(shard, files["cls"], content) if "cls" in files else ""
    values: dict[str, Any] = {}
    texts = {"label": "", "group": ""}
    if "json" in files:
        values = _json_object(shard, files["json"], content)
        texts = {key: _text(shard, files["json"], values, key) for key in READ_KEYS}
    if label and texts["label"] and label != texts["label"]:
        raise member_error(
            shard, image, f"has the label {label!r} in .cls and {texts['label']!r} in .json", "correct one of them"
        )
    if not label and not texts["label"]:
        raise member_error(shard, image, "has no label", "add KEY.cls, or KEY.json with the key label")
    identities = tuple(
        (name, shorten(str(value), MAX_CHARACTERS))
        for name, value in values.items()
        if name not in READ_KEYS and isinstance(value, (str, int)) and looks_like_identity(name)
    )
    return Facts(label or texts["label"], texts["group"], identities)


def member_error(shard: Path, member: Member, problem: str, remedy: str) -> DataError:
    """The error about a member of a shard, in one line."""
    return DataError(f"data {shard}: member {member.name!r} {problem}; {remedy}")


def _class_text(shard: Path, member: Member, content: IO[bytes]) -> str:
    """The label in a .cls file. Raises: DataError."""
    if member.size > 4 * MAX_CHARACTERS:
        raise member_error(
            shard, member, f"has {member.size:,} bytes, too many for a label", "write a number or a name"
        )
    try:
        text = _read(shard, member, content).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise member_error(shard, member, "is not UTF-8 text", "write a number or a name") from None
    return _plain(shard, member, "label", text)


def _json_object(shard: Path, member: Member, content: IO[bytes]) -> dict[str, Any]:
    """The content of a .json file. Raises: DataError."""
    if member.size > MAX_JSON_BYTES:
        raise member_error(
            shard, member, f"has {member.size:,} bytes, more than {MAX_JSON_BYTES:,}", "leave out what is not a label"
        )
    try:
        values = json.loads(_read(shard, member, content))
    except (ValueError, RecursionError):
        raise member_error(shard, member, "is not valid JSON", "correct it, or write the label into a .cls") from None
    if not isinstance(values, dict):
        raise member_error(shard, member, "is not a JSON object", 'write {"label": ...}')
    return values


def _text(shard: Path, member: Member, values: Mapping[str, Any], key: str) -> str:
    """A value of a .json file as text; empty if it is missing or null. Raises: DataError."""
    value = values.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        shown = shorten(json.dumps(value), 40)
        raise member_error(shard, member, f"{key}: {shown} is neither a text nor a whole number", "write one of these")
    return _plain(shard, member, key, str(value))


def _plain(shard: Path, member: Member, key: str, text: str) -> str:
    """A text without spaces around it. Raises: DataError unless it is one short line."""
    text = text.strip()
    if text in MISSING or len(text) > MAX_CHARACTERS or not text.isprintable():
        raise member_error(
            shard, member, f"{key}: {shorten(text, 40)!r} is not a {key}",
            f"write one line of printable text, at most {MAX_CHARACTERS:,} characters",
        )  # fmt: skip
    return composed(text)


def _read(shard: Path, member: Member, content: IO[bytes]) -> bytes:
    """The bytes of a member. Raises: DataError if the shard is shorter than when it was listed."""
    content.seek(member.offset)
    read = content.read(member.size)
    if len(read) < member.size:
        raise member_error(shard, member, "is cut off", WRITE_AGAIN)
    return read
