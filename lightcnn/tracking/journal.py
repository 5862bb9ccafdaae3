"""What a tracker has received of a run, as lines in the run folder: a resumed run sends nothing twice."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from lightcnn.run_files import parse_json, read_limited
from lightcnn.run_folder import RunFolder
from lightcnn.tracking.names import TrackerName

MAX_JOURNAL_BYTES = 50_000_000
"""Size of the largest journal that is read; one of 10,000 trials has about 2 MB."""
PART_NAME = re.compile(r"[a-z0-9-]{0,100}")
PART_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Journal:
    """The parts of a run that a tracker knows: their ids, and the last steps of their scores.

    `ids`, `steps`, and `summaries` (number and digest of the final values) are by the name of the part; `count` is how
    often scores were sent. The file is `tracking/NAME.jsonl`. Lines that lightcnn did not write are ignored.

    Raises: RunError if the file is a link or too large.
    """

    def __init__(self, folder: RunFolder, name: TrackerName) -> None:
        self._folder = folder
        self._file = f"tracking/{name}.jsonl"
        self.ids: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        self.summaries: dict[str, tuple[int, str]] = {}
        self.count = 0
        if (folder / self._file).is_file():
            for line in read_limited(folder.path, self._file, MAX_JOURNAL_BYTES).splitlines():
                self._read(line)

    def started(self, part: str, id: str) -> None:
        """Notes that a part was started."""
        self.ids[part] = id
        self._append({"part": part, "id": id})

    def scored(self, part: str, step: int) -> None:
        """Notes that the scores of a step were sent."""
        self.steps[part] = step
        self.count += 1
        self._append({"part": part, "step": step})

    def summarised(self, part: str, number: int, digest: str) -> None:
        """Notes that final values were sent."""
        self.summaries[part] = number, digest
        self._append({"part": part, "number": number, "digest": digest})

    @staticmethod
    def digest(values: Mapping[str, float]) -> str:
        """A digest that is equal for equal values."""
        return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()[:16]

    def clear(self) -> None:
        """Forgets everything: the run is sent to another store."""
        self._folder.remove(self._file)
        self.ids, self.steps, self.summaries, self.count = {}, {}, {}, 0

    def _append(self, line: dict[str, Any]) -> None:
        path = self._folder.in_place(self._file)
        path.parent.mkdir(exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _read(self, line: bytes) -> None:
        try:
            entry = parse_json(line)
        except ValueError:  # the process was killed while it wrote the line
            return
        if not isinstance(entry, dict) or not _matches(PART_NAME, entry.get("part")):
            return
        part, step, number = entry["part"], entry.get("step"), entry.get("number")
        if _matches(PART_ID, entry.get("id")):
            self.ids[part] = entry["id"]
        elif type(step) is int and step >= 0:
            self.steps[part] = step
            self.count += 1
        elif type(number) is int and number >= 0:
            self.summaries[part] = number, str(entry.get("digest"))


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
