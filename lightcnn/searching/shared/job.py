"""What a machine does in a shared search: it joins the study, trains what is asked for, and may lead."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from lightcnn import document, interrupt
from lightcnn.budget import Budget
from lightcnn.document import Frozen
from lightcnn.errors import InputError, LightcnnError, NoNetworkError, RunError, StudyError
from lightcnn.run_folder import RunFolder
from lightcnn.searching.plan import PLAN_FILE, Plan
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.settings import CONTINUING, SearchSettings, changed_settings
from lightcnn.searching.shared.executor import SharedExecutor
from lightcnn.searching.shared.job_queue import JobQueue
from lightcnn.searching.shared.local_work import LocalWork
from lightcnn.searching.shared.members import Membership, this_process
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.shared.states import SharedStates
from lightcnn.searching.trainings.files import remove_states
from lightcnn.searching.trainings.jobs import Count
from lightcnn.searching.trainings.pool import WorkerPool
from lightcnn.searching.trials.clock import Past
from lightcnn.searching.trials.storage import past_of_study, require_own_study, storage_errors, without_warnings
from lightcnn.version import __version__

OF_MACHINE = ("data", "data_dir", "device", "workers")
"""Options that may differ between machines; that the images are equal is checked by their fingerprint."""
MAX_LOSSES, LOSS_SECONDS = 20, 60.0
"""The storage may be lost so often within so short times; if it answers and fails again at once, it is damaged."""
POLL_SECONDS = 0.1
"""Time between two rounds of a machine that does not lead."""
END_SECONDS = 2.0
"""Time between two looks at whether the search has ended."""


class SharedSearch(Frozen):
    """What the leader stores of a search in its study, so that any machine can join and lead.

    `digest` is that of the settings that are the same on all machines.
    """

    version: str
    settings: str
    digest: str
    fingerprint: str

    @classmethod
    def of(cls, settings: SearchSettings, fingerprint: str) -> SharedSearch:
        """That of a search on this machine."""
        text = settings.yaml().decode()
        return cls(version=__version__, settings=text, digest=digest_of(settings), fingerprint=fingerprint)


def digest_of(settings: SearchSettings) -> str:
    """A digest of all settings, without those that may differ between machines."""
    values = settings.model_dump(mode="json", exclude={*OF_MACHINE, "reading"})
    values["reading"] = settings.reading.model_dump(mode="json", exclude=set(OF_MACHINE))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class SharedEnd(Frozen):
    """How a search has ended, as its leader stores it: where its run folder is, or why there is none.

    `member` is the number of the leader. With `in_training`, all trials are complete, and it still trains the final
    networks.
    """

    host: str
    folder: str
    digest: str
    member: Count | None = None
    error: str = ""
    in_training: bool = False

    @property
    def place(self) -> str:
        """The name of the run folder, and the host."""
        return f"{Path(self.folder).name} on {self.host}"

    @property
    def line(self) -> str:
        """Where the result is, or will be."""
        if not self.in_training:
            return f"the search has ended; its run folder is {self.folder} on {self.host}"
        return (
            f"all trials are complete; {self.host} trains the final networks, and the result will be in {self.folder} "
            "there; if that machine fails, continue there with --resume --out, or run this command again anywhere"
        )

    def is_of(self, settings: SearchSettings) -> bool:
        """Whether it is the end of a search with these settings; one with larger limits continues."""
        return self.digest == digest_of(settings)


class StudyNotes:
    """What is stored beside the trials of the study, as of the last `look`."""

    def __init__(self, place: SharedPlace) -> None:
        """Makes the study if there is none."""
        self.place = place
        with without_warnings():
            self._study = optuna.create_study(
                storage=place.storage, study_name=place.study, direction="maximize", load_if_exists=True
            )
            self.look()

    @classmethod
    def existing(cls, place: SharedPlace) -> StudyNotes | None:
        """The notes of a study; None if there is no such study. Raises: RunError if it is of another program."""
        try:
            place.storage.get_study_id_from_name(place.study)
        except KeyError:
            return None
        notes = cls(place)
        if notes.search is None:
            require_own_study(notes._study, place)
        return notes

    def look(self) -> None:
        """Reads all notes again."""
        self._values = self._study.user_attrs

    def read(self, name: str) -> Any:
        """The note of that name; None if there is none."""
        return self._values.get(name)

    def write(self, name: str, value: Any) -> None:
        """Stores a note."""
        self._study.set_user_attr(name, value)
        self._values[name] = value

    @property
    def search(self) -> SharedSearch | None:
        """The search, if a leader has stored it. Raises: RunError if it is not one of this version."""
        stored = self.read("search")
        if stored is None:
            return None
        version = stored.get("version") if isinstance(stored, dict) else None
        if version != __version__:
            raise RunError(
                f"{self.place}: the search of lightcnn {version}, this is {__version__}; install the same version, or "
                f"{self.place.other}"
            )
        return document.make(SharedSearch, stored, str(self.place))

    @property
    def plan(self) -> Plan | None:
        """The plan, if a leader has stored one."""
        stored = self.read("plan")
        return None if stored is None else document.parse(Plan, str(stored), f"{self.place}: {PLAN_FILE}")

    def past(self, limit: float | None) -> Past:
        """What the search has done so far, for a session with this time `limit`. Raises: RunError."""
        return past_of_study(self._study, self.place, limit)

    def require_same_images(self, fingerprint: str) -> None:
        """Raises: RunError if the search is one of images with another fingerprint."""
        search = self.search
        if search is not None and search.fingerprint != fingerprint:
            raise RunError(
                f"{self.place}: the search of other images (fingerprint {search.fingerprint[:12]}, here "
                f"{fingerprint[:12]}); give the same images, or {self.place.other}"
            )

    @property
    def end(self) -> SharedEnd | None:
        """How the search has ended, if it has."""
        return self._read_end("end")

    @property
    def released(self) -> SharedEnd | None:
        """Where the result will be, if a leader has released the other machines."""
        return self._read_end("released")

    def _read_end(self, name: str) -> SharedEnd | None:
        stored = self.read(name)
        return None if stored is None else document.make(SharedEnd, stored, str(self.place))


def joined_settings(shared: SharedSettings, options: Mapping[str, Any], *, resume: bool) -> SearchSettings | None:
    """The settings of a study with the options of this machine; None if the study is new.

    With `resume`, its limits may be others. Raises: InputError if another option differs; RunError if the storage
    cannot be used.
    """
    with closing(SharedPlace(shared)) as place, storage_errors(place):
        notes = StudyNotes.existing(place)
        search = None if notes is None else notes.search
    if search is None:
        return None
    stored = document.parse(SearchSettings, search.settings, str(place))
    changeable = {*OF_MACHINE, *(CONTINUING if resume else ())}
    return changed_settings(stored, options, changeable, str(place), place.other)


def finished(shared: SharedSettings, settings: SearchSettings) -> SharedEnd | None:
    """How a search with these limits has ended; None if it has not, or if it failed. Raises: RunError."""
    with closing(SharedPlace(shared)) as place, storage_errors(place):
        notes = StudyNotes.existing(place)
        end = None if notes is None else notes.end
    return end if end is not None and end.is_of(settings) and not end.error else None


def earlier_sessions(shared: SharedSettings, fingerprint: str, limit: float | None) -> tuple[Plan | None, Past]:
    """The plan of a study and what its search has done, for a session with this time `limit`; nothing is stored.

    Raises: RunError if the storage cannot be used, or the images of the study have another `fingerprint`.
    """
    with closing(SharedPlace(shared)) as place, storage_errors(place):
        notes = StudyNotes.existing(place)
        if notes is None:
            return None, Past()
        notes.require_same_images(fingerprint)
        return notes.plan, notes.past(limit)


@dataclass(frozen=True)
class SharedParts:
    """What a machine needs to take part: the settings, the images' fingerprint, its workers and its run folder.

    With `resume`, it may lead a search with other limits than those that the study has.

    `lead` runs the search with an executor of all machines; it gets the plan of an earlier leader, and a function that
    stores the plan.
    """

    settings: SearchSettings
    fingerprint: str
    pool: WorkerPool
    folder: RunFolder
    progress: SearchProgress
    lead: Callable[[SharedExecutor, Plan | None, Callable[[Plan], None]], None]
    resume: bool = False


def take_part(place: SharedPlace, parts: SharedParts) -> tuple[SharedEnd, bool]:
    """Trains for the study until all trials are complete, or until the search has ended if this machine leads.

    Returns where the result is, or will be, and whether this machine has made it. Raises: InputError if the study is
    that of another search; LightcnnError if the search failed, or if this machine cannot continue.
    """
    with ExitStack() as stack:
        with storage_errors(place):
            StudyNotes.existing(place)  # before anything is written, also that this machine joins
            member = this_process(parts.pool.workers, parts.folder.path)
            membership = stack.enter_context(Membership.joined(place, member))
            machine, leader = _Machine(place, parts, membership), membership.leader
        if leader is not None and leader.number != membership.number:
            parts.progress.noted(f"joined {place}, led by {leader.host}: this machine trains what is asked for")
        with machine.handing_back():
            end = machine.run_to_end()
    has_led = end.member in membership.numbers
    is_safe = place.settings.artifacts is not None or not end.in_training
    if not has_led and is_safe:  # otherwise they may be needed, if the leader fails
        remove_states(parts.folder, keep=[])
    return end, has_led


class _Machine:
    """This machine in a shared search."""

    def __init__(self, place: SharedPlace, parts: SharedParts, membership: Membership) -> None:
        self._place = place
        self._parts = parts
        self._membership = membership
        self._notes = StudyNotes(place)
        self._queue = JobQueue(place)
        self._states = SharedStates(
            place.settings.artifacts, place.study, membership.token(), parts.folder, membership.waiting,
            parts.progress.noted,
        )  # fmt: skip
        self._work = LocalWork(parts.pool, self._queue, membership, self._states)
        self._next_look = 0.0
        self._agrees = False
        self._before = self._notes.end

    @contextmanager
    def handing_back(self) -> Iterator[None]:
        """At the end of the block, all jobs of this machine are handed back."""
        try:
            yield
        finally:
            try:
                with interrupt.deferred(), storage_errors(self._place, started=True):
                    self._work.hand_back()
            except StudyError as error:  # the others find this machine dead
                self._parts.folder.log(str(error))

    def run_to_end(self) -> SharedEnd:
        """Works until its part has ended, even if the storage is away. Raises: StudyError if for too long."""
        losses = 0
        while True:
            began = time.monotonic()
            try:
                return self._run()
            except StudyError as error:
                losses = losses + 1 if time.monotonic() - began < LOSS_SECONDS else 1
                if losses > MAX_LOSSES:
                    raise StudyError(f"{error}; given up after {MAX_LOSSES} attempts") from None
                self._parts.folder.log(str(error))
                self._parts.progress.noted(f"{error}; waiting for the storage")
                self._place.wait()

    def _run(self) -> SharedEnd:
        """Works until its part has ended. Raises: StudyError if the storage is lost."""
        while True:
            with storage_errors(self._place, started=True):
                if self._membership.is_lost:
                    self._work.hand_back()
                    self._membership.join()
                leads = self._membership.leads
                if leads:  # the earlier leader may have ended the search before it left
                    self._next_look = 0.0
                if (end := self._end(leads)) is not None:
                    return end
            if leads:
                self._lead()
                continue
            with storage_errors(self._place, started=True):
                if self._agrees:
                    self._work.round()
            interrupt.check()
            time.sleep(POLL_SECONDS)

    def _end(self, leads: bool) -> SharedEnd | None:
        """How the search has ended for this machine. One that failed before it joined is tried again."""
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + END_SECONDS
        self._notes.look()
        end = self._notes.end
        self._check(can_change=leads and self._parts.resume)
        if end is None or not end.is_of(self._parts.settings) or (end.error and end == self._before):
            return None if leads else self._released()
        if end.error:
            raise LightcnnError(f"{self._place}: the search failed on {end.host}: {end.error}")
        return end

    def _released(self) -> SharedEnd | None:
        """Where the result will be, if the machine that leads now has released the others."""
        end, leader = self._notes.released, self._membership.leader
        if end is None or leader is None or not end.is_of(self._parts.settings):
            return None
        return end if end.member == leader.number else None

    def _check(self, *, can_change: bool) -> None:
        """Raises: RunError for other images, and for other settings unless this machine `can_change` them."""
        search = self._notes.search
        self._agrees = search is not None
        if search is not None and search.digest != digest_of(self._parts.settings) and not can_change:
            raise RunError(
                f"{self._place}: a search with other settings; give the same, {self._place.other}, or change its "
                "limits with --resume once no machine searches"
            )
        self._notes.require_same_images(self._parts.fingerprint)

    def _lead(self) -> None:
        """Runs the search from where the study is, and stores how it ended.

        An error of this machine, such as a full disk, is not the end: the next machine leads then.
        """
        parts, notes = self._parts, self._notes
        with storage_errors(self._place, started=True):
            notes.write("search", SharedSearch.of(parts.settings, parts.fingerprint).model_dump(mode="json"))
            notes.look()
            plan = notes.plan
        executor = SharedExecutor(
            self._place, self._work, self._queue, self._membership, self._states, parts.progress.joined,
            release=lambda: self._store_end("released", in_training=True),
        )  # fmt: skip

        def store(plan: Plan) -> None:
            with storage_errors(self._place, started=True):
                notes.write("plan", document.dump(plan, exclude_defaults=False))

        try:
            parts.lead(executor, plan, store)
        except NoNetworkError as error:
            self._store_end("end", error=str(error))
            raise
        self._store_end("end")
        self._next_look = 0.0

    def _store_end(self, name: str, *, error: str = "", in_training: bool = False) -> None:
        member = self._membership.member
        end = SharedEnd(
            host=member.host, folder=member.folder, digest=digest_of(self._parts.settings),
            member=self._membership.number, error=error, in_training=in_training,
        )  # fmt: skip
        with storage_errors(self._place, started=True):
            if self._membership.is_lost:
                raise StudyError(f"{self._place}: the others took this process for dead, since it was silent")
            self._notes.write(name, end.model_dump(mode="json"))


def require_shareable(settings: SearchSettings) -> None:
    """Raises: InputError if a part of the settings belongs to one machine."""
    if Budget.parse(settings.budget).latencies:
        raise InputError(
            f"--storage: the budget {settings.budget} has a latency, which is that of one machine; omit it"
        )
    if settings.teacher:
        raise InputError(f"--storage: --teacher {settings.teacher} is for a search on one machine; omit it")
