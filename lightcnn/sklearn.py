"""A search as a classifier of scikit-learn."""

# ruff: noqa: N803 - scikit-learn calls images X

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from lightcnn.data.files.spelling import are_class_names
from lightcnn.data.sources.table import MISSING
from lightcnn.devices import DeviceName
from lightcnn.errors import DataError, InputError
from lightcnn.recipe import SEED_LIMIT
from lightcnn.searching.job import search
from lightcnn.searching.metric_names import MetricName
from lightcnn.text import in_one_line
from lightcnn.trained_network import TrainedNetwork

BLOCK = 256
"""Images that are scaled to 8 bits at once."""


class ArraysError(DataError, ValueError):
    """Images or labels that a classifier cannot use; scikit-learn expects a ValueError."""


class LightCNNClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Searches for the best network within a budget when it is fitted, and predicts with it.

    Images are arrays (N, H, W), (N, H, W, 1) or (N, H, W, 3), or flattened grey squares (N, S·S). Values of uint8 are
    used as they are; of others, the smallest and the largest of the training images become black and white. A part of
    the training images selects the network, and another part tests it: `report_` has its scores.

    Grid searches and cross-validation give `groups` to their splitter only. To keep the groups together inside each
    fit, too, set `sklearn.set_config(enable_metadata_routing=True)` and call `set_fit_request(groups=True)` of the
    classifier.

    The checks of scikit-learn's `check_estimator` that fit vectors of 2, 3, 5 or 10 values fail, since these are no
    square images; they are listed in tests/test_sklearn.py. The same checks hold on vectors that are made squares,
    except for the accuracy that one of them needs.

    Args:
        budget: Limits of the network, as in "1MFLOPs,50kparams".
        time: Time limit of a fit: seconds, or a text such as "90s" or "10m". None: no limit, with `trials`.
        trials: Number of networks; with it and without `time`, the same `random_state` gives the same network.
        epochs: Maximum epochs of the final training.
        metric: What is maximised on the images that select the network. None: `training.monitor` in `set`,
            else "accuracy".
        space: Name or file of a search space; "auto" chooses by budget and size of the images.
        set: Values of `training` and `augment` by their paths, as in {"training.class_weights": "balanced"}.
        workers: Processes that train. Use 1 if scikit-learn itself fits several estimators at once.
        device: Where networks are trained, and where the one that was found predicts.
        random_state: Seed of the split, the proposals and the trainings, from 0 to 2**32 - 1. None or a
            `numpy.random.RandomState`, of which each fit draws one, as in scikit-learn: `report_["seed"]`.
        out: Run folder to keep, which must not exist. None: none is kept.

    Attributes:
        classes_: The classes (K,), sorted.
        network_: The trained network with its preprocessing.
        report_: The report of the search, as in report.json.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from lightcnn.sklearn import LightCNNClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> LightCNNClassifier("100kFLOPs", time="2s").fit(X, y).predict(X[:2]).shape
        (2,)
    """

    def __init__(
        self,
        budget: str = "1MFLOPs",
        time: str | float | None = "2m",
        *,
        trials: int | None = None,
        epochs: int | None = None,
        metric: MetricName | None = None,
        space: str = "auto",
        set: Mapping[str, Any] | None = None,
        workers: int | None = None,
        device: DeviceName = "auto",
        random_state: int | np.random.RandomState | None = 0,
        out: str | Path | None = None,
    ) -> None:
        self.budget = budget
        self.time = time
        self.trials = trials
        self.epochs = epochs
        self.metric = metric
        self.space = space
        self.set = set
        self.workers = workers
        self.device = device
        self.random_state = random_state
        self.out = out

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Searches on images X and labels y (N,). `groups` (N,) names the patient of each image; none is split.

        Raises: ValueError, by scikit-learn, or InputError if an argument is wrong; LightcnnError if no network can be
        trained. The classifier is then as it was before.
        """
        before = dict(self.__dict__)
        try:
            return self._fit(X, y, groups)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(self, X: Any, y: Any, groups: Any) -> Self:
        """The same, which leaves attributes behind if it fails."""
        X, y = validate_data(self, X, y, allow_nd=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ArraysError(f"y: all labels are of one class, {self.classes_[0]!r}; give two or more classes")
        self.shape_ = X.shape[1:]
        self.range_ = (0.0, 255.0) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
        is_text = y.dtype.kind == "O" and all(isinstance(label, str) for label in y)  # such as columns of pandas
        names = [str(name) for name in self.classes_]
        has_names = (is_text or y.dtype.kind in "iuU") and are_class_names(names) and MISSING.isdisjoint(names)
        self._names = names if has_names else [str(number) for number in range(len(names))]
        with TemporaryDirectory(prefix="lightcnn-") as folder:
            run = search(
                self.budget, data=(self._pixels(X), y if has_names else codes), groups=groups, time=self.time,
                trials=self.trials, epochs=self.epochs, metric=self.metric, space=self.space, set=self.set,
                workers=self.workers, device=self.device, seed=self._seed(), out=self.out or Path(folder) / "run",
            )  # fmt: skip
            self.network_ = TrainedNetwork.load(run, device=self.device)
            self.report_ = run.report
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities (N, K) of the classes in the order of `classes_`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True)
        if X.shape[1:] != self.shape_:
            raise ArraysError(f"X: images of shape {X.shape[1:]}, but the training images had {self.shape_}")
        columns = [self.network_.preprocess.classes.index(name) for name in self._names]
        return self.network_.predict(list(self._pixels(X))).probabilities[:, columns]

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each image (N,)."""
        best = self.predict_proba(X).argmax(axis=1)
        predicted: NDArray[Any] = self.classes_[best]
        return predicted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _seed(self) -> int:
        """The seed of a fit. Raises: InputError."""
        given = self.random_state
        if isinstance(given, Integral):
            if not isinstance(given, bool) and 0 <= given < SEED_LIMIT:
                return int(given)
        elif given is None or isinstance(given, np.random.RandomState):
            return int(check_random_state(given).randint(np.iinfo(np.int32).max))
        raise InputError(
            f"random_state={in_one_line(given)}: not a seed; give a whole number from 0 to "
            f"{SEED_LIMIT - 1}, None, or a numpy.random.RandomState"
        )

    def _pixels(self, X: NDArray[Any]) -> NDArray[np.uint8]:
        """Images of uint8, (N, H, W[, C])."""
        if X.ndim == 2:
            side = math.isqrt(X.shape[1])
            if side**2 != X.shape[1]:
                rule = f"{X.shape[1]} values per image are no square"
                raise ArraysError(f"X: {rule}; give images (N, H, W) or (N, H, W, 3)")
            X = X.reshape(-1, side, side)
        if X.dtype == np.uint8 and self.range_ == (0.0, 255.0):
            return X
        low, high = self.range_
        pixels = np.empty(X.shape, dtype=np.uint8)
        for first in range(0, len(X), BLOCK):  # floats of 64 bits would need eight times the memory of the result
            share = (X[first : first + BLOCK].astype(np.float64) - low) / ((high - low) or 1.0)
            pixels[first : first + BLOCK] = np.rint(share.clip(0, 1) * 255)
        return pixels
