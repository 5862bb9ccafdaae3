"""How many workers one shared search keeps busy, and what a proposal costs in a long search.

    python tests/benchmarks/scale.py storage [--workers 1,2,4,8,16,32] [--trials 60]
    python tests/benchmarks/scale.py members [--members 10,100,250,1000]
    python tests/benchmarks/scale.py proposal [--trials 100,1000,10000] [--storages memory,postgresql]

`storage` starts a PostgreSQL server of its own, and searches of a table whose trainings take no time, so that all time
is that of the storage and of the leader: directly and through Optuna's gRPC proxy. Each machine is a process of four
workers. It prints trials a second from the first training to the last score, calls of the storage for each trial, and
how long a trial must be so that the storage takes one percent of a worker's time.

`members` prints how long a machine takes to look at all members in that database, which each does every two seconds.

`proposal` fills a study with trials of the space `micro` at 1 MFLOPs, in memory or in a PostgreSQL server of its own,
and prints the time of the next proposal and of reading the study again, as a leader that takes over does. Utilities are
made up; only times are measured.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.postgres import Cluster
from searching.shared.machines import Cable, InstantPool, Machine

from lightcnn.budget import Budget
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.shared.members import Membership, this_process
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.strategies.base import distributions, encode
from lightcnn.searching.strategies.predictor import CurvePredictor
from lightcnn.searching.trials.halving import Rungs
from lightcnn.searching.trials.place import StudyPlace
from lightcnn.searching.trials.searcher import Searcher
from lightcnn.space import SearchSpace

WORKERS_OF_MACHINE = 4
SHARE = 0.01
"""Share of a worker's time that the storage may take."""
RUNGS = Rungs((12_000, 36_000, 108_000))


class CountingCable(Cable):
    """The connection to a storage, which counts its calls."""

    def __init__(self, storage: Any) -> None:
        super().__init__(storage)
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        self.calls += 1
        return super().__getattr__(name)


def machine(url: str, study: str, workers: int, trials: int) -> None:
    """Takes part in a search; prints when it trained first and last, its trainings and its calls of the storage."""
    with tempfile.TemporaryDirectory() as folder:
        times: list[float] = []
        pool = InstantPool(lambda job: times.append(time.time()), workers=workers)
        taking = Machine(Path(folder) / "run", SharedSettings(url, study), pool, trials, cable=CountingCable)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.time()
        taking.start().thread.join()
        if taking.error is not None:
            raise taking.error
        assert isinstance(taking.cable, CountingCable)
        print(json.dumps({"began": began, "times": times, "calls": taking.cable.calls}), flush=True)


def measured(url: str, study: str, workers: int, trials: int) -> tuple[float, float]:
    """Trials a second and calls of the storage for each trial, of a search by so many workers."""
    machines = math.ceil(workers / WORKERS_OF_MACHINE)
    command = [sys.executable, __file__, "machine", url, study, str(min(workers, WORKERS_OF_MACHINE)), str(trials)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(machines)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    results = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        results.append(json.loads(process.communicate()[0]))
    times = sorted(moment for result in results for moment in result["times"])
    return trials / (times[-1] - times[0]), sum(result["calls"] for result in results) / trials


def print_storage(counts: Sequence[int], trials: int) -> None:
    """The table of workers."""
    cluster = Cluster.start()
    proxy = subprocess.Popen(
        [sys.executable, "-m", "lightcnn", "storage", "serve", cluster.url, "--port", "13977"], stdout=subprocess.PIPE
    )
    assert proxy.stdout is not None
    proxy.stdout.readline()
    try:
        print("| storage | workers | trials a second | calls a trial | trial for 1 % of the time |")
        print("|---|---|---|---|---|")
        for name, url in (("PostgreSQL", cluster.url), ("gRPC proxy", "grpc://127.0.0.1:13977")):
            for workers in counts:
                rate, calls = measured(url, f"{name.split()[0]}-{workers}", workers, trials)
                seconds = workers / rate / SHARE
                print(f"| {name} | {workers} | {rate:.1f} | {calls:.0f} | {seconds:,.0f} s |", flush=True)
    finally:
        proxy.terminate()
        proxy.wait()
        cluster.remove()


def print_members(counts: Sequence[int]) -> None:
    """The table of members."""
    cluster = Cluster.start()
    print("| members | one look, median of 9 |\n|---|---|")
    try:
        with (
            closing(SharedPlace(SharedSettings(cluster.url, "crowd"))) as place,
            Membership.joined(place, this_process(4, Path("run"))) as member,
        ):
            for count in counts:
                for _ in range(count - member.count()):
                    other = place.storage.create_new_trial(member._study._study_id)
                    described = member.member.model_dump(mode="json", exclude={"number"})
                    place.storage.set_trial_user_attr(other, "member", described)
                seconds = []
                for _ in range(9):
                    member._looked = float("-inf")
                    began = time.perf_counter()
                    assert len(member.live()) == count
                    seconds.append(time.perf_counter() - began)
                print(f"| {count:,} | {1000 * median(seconds):.0f} ms |", flush=True)
    finally:
        cluster.remove()


class MemoryPlace:
    """A study in memory."""

    study, other, is_shared, errors = "search", "choose another", False, (optuna.exceptions.StorageInternalError,)

    def __init__(self) -> None:
        self._storage = optuna.storages.InMemoryStorage()

    def open(self) -> Any:
        return self._storage

    def check(self) -> None: ...

    def explain(self, error: Exception, /) -> tuple[str, str]:
        return str(error), ""


class NoClock:
    """A clock that allows everything."""

    def elapsed(self) -> float:
        return 0.0

    def allows(self, seconds: float) -> bool:
        return True


def searcher(place: StudyPlace, space: BudgetedSpace) -> Searcher:
    """The searcher of the study."""
    return Searcher(
        space, place, strategy="surrogate", seed=0, rungs=RUNGS, fingerprint={}, predictor=CurvePredictor(space),
        final_images=1_000_000, lag=None,
    )  # fmt: skip


def print_proposals(counts: Sequence[int], storages: Sequence[str]) -> None:
    """The table of proposals."""
    print("| study in | trials | proposal, median of 5 | reading the study again |\n|---|---|---|---|")
    if "memory" in storages:
        place = MemoryPlace()
        _print_proposals("memory", counts, lambda: nullcontext(place))
    if "postgresql" in storages:
        cluster = Cluster.start()
        try:
            _print_proposals("PostgreSQL", counts, lambda: closing(SharedPlace(SharedSettings(cluster.url, "search"))))
        finally:
            cluster.remove()


def _print_proposals(
    name: str, counts: Sequence[int], connected: Callable[[], AbstractContextManager[StudyPlace]]
) -> None:
    """The rows of one storage, to which every searcher is `connected` for the first time."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = BudgetedSpace(SearchSpace.load("micro").for_data(1, 10, 28), Budget.parse("1MFLOPs"), 28)
    random = Random(0)
    for count in counts:
        with connected() as place:
            study = optuna.create_study(
                storage=place.open(), study_name="search", direction="maximize", load_if_exists=True
            )
            study.set_user_attr("fingerprint", {})
            for number in range(len(study.get_trials(deepcopy=False)), count):
                study.add_trial(made_up_trial(number, space, random))
        with connected() as place:
            place.open()
            began = time.perf_counter()
            search = searcher(place, space)
            reading = time.perf_counter() - began
            seconds = []
            for _ in range(5):
                began = time.perf_counter()
                search.ask(search.outcomes(), NoClock())
                seconds.append(time.perf_counter() - began)
        print(f"| {name} | {count:,} | {median(seconds):.2f} s | {reading:.2f} s |", flush=True)


def made_up_trial(number: int, space: BudgetedSpace, random: Random) -> FrozenTrial:
    """A trial that was trained to the first rung."""
    genes, shape, utility = tuple(space.genes()), space.draw(random), 1 + random.random()
    return create_trial(
        state=TrialState.RUNNING, params={gene.name: encode(shape[gene.name]) for gene in genes},
        distributions=distributions(genes), intermediate_values={12_000: 0.9},
        user_attrs={
            "shape": dict(shape), "key": str(number), "utilities": {"12000": utility},
            "off_rung": {"6000": utility - 0.2}, "tasks": {"12000": number}, "seconds": {"12000": 1.0},
        },
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    storage = commands.add_parser("storage")
    storage.add_argument("--workers", default="1,2,4,8,16,32")
    storage.add_argument("--trials", type=int, default=60)
    members = commands.add_parser("members")
    members.add_argument("--members", default="10,100,250,1000")
    proposal = commands.add_parser("proposal")
    proposal.add_argument("--trials", default="100,1000,10000")
    proposal.add_argument("--storages", default="memory,postgresql")
    process = commands.add_parser("machine", help="one process of `storage`")
    for name, kind in (("url", str), ("study", str), ("workers", int), ("trials", int)):
        process.add_argument(name, type=kind)
    options = parser.parse_args()
    if options.command == "machine":
        machine(options.url, options.study, options.workers, options.trials)
    elif options.command == "storage":
        print_storage([int(count) for count in options.workers.split(",")], options.trials)
    elif options.command == "members":
        print_members([int(count) for count in options.members.split(",")])
    else:
        print_proposals([int(count) for count in options.trials.split(",")], options.storages.split(","))


if __name__ == "__main__":
    main()
