"""What a search reports while it runs. No torch: the terminal is ready before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightcnn.engine.loop import Epoch
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
    from lightcnn.searching.halving import Fidelity
    from lightcnn.searching.plan import Plan, SearchClock
    from lightcnn.searching.settings import SearchSettings
    from lightcnn.searching.storage import Outcome


class SearchProgress:
    """Receives what a search reports; this one is silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """Called while images are read and compared: the step, how many images are done, how many there are."""

    def read(self, images: int, seconds: float) -> None:
        """Called when so many images have been read and their groups are known; the time limit counts from here."""

    def planned(
        self, run: RunFolder, space: BudgetedSpace, plan: Plan, clock: SearchClock, settings: SearchSettings
    ) -> None:
        """Called when the search starts or resumes."""

    def started(self, number: int, candidate: Candidate, fidelity: Fidelity) -> None:
        """Called when a training of a trial starts."""

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        """Called after each epoch of any training of `epochs` epochs."""

    def finished(self, outcome: Outcome) -> None:
        """Called when a trial ends, and for every trial of earlier sessions when the search resumes."""

    def retraining(self, candidate: Candidate, epochs: int) -> None:
        """Called when the final training starts."""


SILENT = SearchProgress()
