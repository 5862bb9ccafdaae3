"""What a search tells while it runs. No torch: the terminal listens before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightcnn.engine.loop import Epoch
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
    from lightcnn.searching.plan import Plan, SearchClock
    from lightcnn.searching.searcher import Fidelity, Outcome
    from lightcnn.searching.settings import SearchSettings


class SearchProgress:
    """Hears what a search does; this one is silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """What is being done to the images, and to how many so far."""

    def planned(
        self, run: RunFolder, space: BudgetedSpace, plan: Plan, clock: SearchClock, settings: SearchSettings
    ) -> None:
        """The search begins, or goes on."""

    def started(self, number: int, candidate: Candidate, fidelity: Fidelity) -> None:
        """A training of a trial begins."""

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        """An epoch of any training ended."""

    def finished(self, outcome: Outcome) -> None:
        """A trial ended."""

    def retraining(self, candidate: Candidate, epochs: int) -> None:
        """The final training begins."""
