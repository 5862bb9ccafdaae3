"""Who takes part in a shared search: heartbeats, and which machine leads.

Every process that joins is a running trial of the study `NAME/members` until it leaves. It counts its heartbeats there.
A member whose count does not change for `SILENT_SECONDS` is dead: only the observer's own monotonic clock matters, so
clocks may be wrong or jump. The live member that joined first leads; there is no vote that could fail.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import Field, ValidationError

from lightcnn.devices import MAX_WORKERS
from lightcnn.document import Frozen
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.trials.place import MEMBERS
from lightcnn.searching.trials.storage import without_warnings

BEAT_SECONDS = 5.0
"""Time between two heartbeats."""
SILENT_SECONDS = 45.0
"""A member whose count has not changed for so long is dead. It is found within a minute."""
HUNG_SECONDS = 60.0
"""A member sends no heartbeats if it waits for a folder for so long: it hangs, as on a server that is away."""
LOOK_SECONDS = 2.0
"""Time between two looks at the members."""


class SearchMember(Frozen):
    """A process that takes part. `machine` is equal for processes that see each other's numbers."""

    number: Annotated[int, Field(ge=0)] = 0
    host: str
    machine: str
    process: str
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)]
    folder: str

    @property
    def has_ended(self) -> bool:
        """Whether its process is known to have ended; False if that cannot be known from here."""
        if not self.machine or self.machine != this_machine():
            return False
        try:
            os.kill(int(self.process.partition(" ")[0]), 0)
        except ProcessLookupError:
            return True
        except (OSError, ValueError, OverflowError):  # it is another user's
            return False
        return _process(self.process) not in (self.process, "")


def this_process(workers: int, folder: Path) -> SearchMember:
    """This process as a member with so many workers."""
    name = _process(str(os.getpid()))
    return SearchMember(
        host=socket.gethostname(), machine=this_machine(), process=name, workers=workers, folder=str(folder.absolute())
    )


def this_machine() -> str:
    """The running system and the namespace of its processes, on Linux; empty elsewhere."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _process(name: str) -> str:
    """Number and start of the process that has the number in `name` now; empty if they cannot be read."""
    number = name.partition(" ")[0]
    with suppress(OSError, IndexError, ValueError):
        start = Path(f"/proc/{int(number)}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        return f"{number} {start}"
    return ""


class Membership:
    """This process as a member, in a `joined` block; a thread of its own sends the heartbeats.

    `number` is that of the member, `numbers` are those that this process has had.
    """

    def __init__(self, place: SharedPlace, member: SearchMember) -> None:
        self._place = place
        with without_warnings():
            self._study = optuna.create_study(
                storage=place.storage, study_name=f"{place.study}{MEMBERS}", load_if_exists=True
            )
        self._storage = place.storage
        self.member = member
        self._seen: dict[int, tuple[int, float]] = {}
        self.gone: frozenset[int] = frozenset()
        self.numbers: list[int] = []
        self._waits_since: float | None = None
        self.join()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @classmethod
    @contextmanager
    def joined(cls, place: SharedPlace, member: SearchMember) -> Iterator[Membership]:
        """Joins, and leaves at the end of the block."""
        membership = cls(place, member)
        try:
            yield membership
        finally:
            membership._leave()

    def join(self) -> None:
        """Becomes a new member, at once completely, at first or after the others took this process for dead."""
        attributes = {"member": self.member.model_dump(mode="json", exclude={"number"})}
        template = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        self._id = self._storage.create_new_trial(self._study._study_id, template)
        self.number = self._storage.get_trial_number_from_id(self._id)
        self.numbers.append(self.number)
        self._live = [self.member.model_copy(update={"number": self.number})]
        self._present = [self.number]
        self._looked = float("-inf")

    def live(self) -> list[SearchMember]:
        """The members that are alive, by number; `gone` are the numbers of the others. Dead ones are ended."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return self._live
        if now - self._looked > SILENT_SECONDS / 2:
            self._seen.clear()  # no one was observed meanwhile: this process slept, or the server was away
        trials = self._study.get_trials(deepcopy=False)
        now = self._looked = time.monotonic()
        dead = [trial for trial in trials if trial.state == TrialState.RUNNING and self._is_dead(trial, now)]
        for trial in dead:
            self._end(trial._trial_id, TrialState.FAIL)
        self.gone = frozenset(trial.number for trial in trials if trial.state.is_finished() or trial in dead)
        self._present = [trial.number for trial in trials if trial.number not in self.gone]
        known = [_member(trial) for trial in trials if trial.number not in self.gone]
        self._live = [member for member in known if member is not None]
        return self._live

    @property
    def is_lost(self) -> bool:
        """Whether the others take this process for dead: its jobs are no longer its own."""
        self.live()
        return self.number in self.gone

    @property
    def leads(self) -> bool:
        """Whether this process is the leader: of all that have joined or are joining, it has the lowest number."""
        self.live()
        return min(self._present, default=-1) == self.number

    @property
    def leader(self) -> SearchMember | None:
        """The leader."""
        return min(self.live(), key=lambda member: member.number, default=None)

    def count(self) -> int:
        """How many processes have ever joined."""
        return len(self._study.get_trials(deepcopy=False))

    def token(self) -> str:
        """A text that another study of the same name, in another database, does not have."""
        first = self._study.get_trials(deepcopy=False)[0]
        return hashlib.sha256(f"{self._place.study} {first.datetime_start}".encode()).hexdigest()[:12]

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within the block the main thread waits for a folder that machines share; if it hangs, this member is dead."""
        self._waits_since = time.monotonic()
        try:
            yield
        finally:
            self._waits_since = None

    def _is_dead(self, trial: FrozenTrial, now: float) -> bool:
        """Whether a member has been silent for too long, or its process is known to have ended."""
        if trial.number == self.number:
            return False
        member = _member(trial)
        if member is not None and member.has_ended:
            return True
        beat = trial.user_attrs.get("beat", 0)
        count, since = self._seen.get(trial.number, (None, now))
        if count != beat:
            self._seen[trial.number] = (beat, now)
            return False
        return now - since > SILENT_SECONDS

    def _beat(self) -> None:
        count = 0
        while not self._left.wait(BEAT_SECONDS):
            since = self._waits_since
            if since is not None and time.monotonic() - since > HUNG_SECONDS:
                continue
            count += 1
            with suppress(Exception):  # the main thread meets the same error, and reports it
                self._storage.set_trial_user_attr(self._id, "beat", count)
        with suppress(*self._place.errors):
            self._storage.remove_session()

    def _leave(self) -> None:
        self._left.set()
        self._thread.join(BEAT_SECONDS)
        self._end(self._id, TrialState.PRUNED)

    def _end(self, trial: int, state: TrialState) -> None:
        with suppress(*self._place.errors, UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial, state)


def _member(trial: FrozenTrial) -> SearchMember | None:
    """The member that a trial represents; None if it is only joining."""
    try:
        return SearchMember.model_validate({**trial.user_attrs["member"], "number": trial.number})
    except (KeyError, TypeError, ValidationError):
        return None
