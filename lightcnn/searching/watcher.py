"""What a search tells while it runs. No torch: the terminal listens before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightcnn.fit import BudgetedSpace, Candidate
    from lightcnn.run import Run
    from lightcnn.searching.plan import Plan, SearchClock
    from lightcnn.searching.searcher import Fidelity, Outcome
    from lightcnn.searching.settings import SearchSettings
    from lightcnn.training.loop import Epoch


class Watcher:
    """Hears what a search does; this one is silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """What is being done to the images, and to how many so far."""

    def planned(self, run: Run, space: BudgetedSpace, plan: Plan, clock: SearchClock, settings: SearchSettings) -> None:
        """The search begins, or goes on."""

    def started(self, number: int, candidate: Candidate, fidelity: Fidelity) -> None:
        """A training of a trial begins."""

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        """An epoch of any training ended."""

    def finished(self, outcome: Outcome) -> None:
        """A trial ended."""

    def retraining(self, candidate: Candidate, epochs: int) -> None:
        """The final training begins."""
