"""A Gaussian process for a few dozen noisy scores: the posterior of the score of a point from its features.

Its kernel is a Matérn 5/2 of one length, plus a linear part, plus noise. The best of a small grid of these is chosen by
marginal likelihood, or all are averaged, with the output scale in closed form: no gradients, no restarts, the same
result for the same data. Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapters 2 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

Matrix = NDArray[np.float64]

LENGTHS = (0.5, 1.0, 2.0, 4.0)
LINEAR = (0.0, 0.3, 1.0, 3.0, 10.0)
NOISE = (0.01, 0.05, 0.2)
"""The grid: lengths of the Matérn kernel, per square root of the number of features; shares of the linear part and of
the noise variance, relative to the Matérn part."""
MIN_WEIGHT = 1e-3
"""Processes with a smaller weight are left out of an average."""


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process; `fit` makes one. Points are standardised features (N, F), targets are standardised scores."""

    points: Matrix
    targets: Matrix
    length: float
    linear: float
    factor: Matrix
    weights: Matrix
    scale: float
    likelihood: float

    @classmethod
    def fit(cls, points: Matrix, targets: Matrix) -> GaussianProcess:
        """The process of the grid that explains targets (N,) at points (N, F) best."""
        return max(_grid(points, targets), key=lambda process: process.likelihood)

    def predict(self, points: Matrix) -> tuple[Matrix, Matrix]:
        """Mean and standard deviation (M,) of the score without noise at points (M, F)."""
        features = points.shape[1]
        cross = _kernel(_distances(points, self.points), points @ self.points.T, features, self.length, self.linear)
        prior = 1 + self.linear * np.einsum("ij,ij->i", points, points) / features
        reduced = solve_triangular(self.factor, cross.T, lower=True)
        variance = self.scale * np.maximum(prior - np.einsum("ij,ij->j", reduced, reduced), 1e-12)
        return cross @ self.weights, np.sqrt(variance)

    def left_out(self) -> tuple[Matrix, Matrix]:
        """Mean and log density (N,) of every target from the others (Rasmussen and Williams, 5.4.2).

        Only kernel and scale are those of all targets.
        """
        precision = np.diag(cho_solve((self.factor, True), np.eye(len(self.points))))
        errors, variances = self.weights / precision, self.scale / precision
        density = -0.5 * (errors**2 / variances + np.log(2 * np.pi * variances))
        return self.targets - errors, density


@dataclass(frozen=True)
class AveragedProcess:
    """The processes of the grid, weighted by marginal likelihood: a few scores do not show which kernel is right."""

    processes: tuple[GaussianProcess, ...]
    weights: Matrix

    @classmethod
    def fit(cls, points: Matrix, targets: Matrix) -> AveragedProcess:
        """The processes for targets (N,) at points (N, F)."""
        processes = list(_grid(points, targets))
        likelihoods = np.array([process.likelihood for process in processes])
        relative = np.exp(likelihoods - likelihoods.max())
        kept = np.flatnonzero(relative >= MIN_WEIGHT)
        return cls(tuple(processes[index] for index in kept), relative[kept] / relative[kept].sum())

    def predict(self, points: Matrix) -> Matrix:
        """Mean (M,) of the score at points (M, F)."""
        return np.asarray(self.weights @ np.array([process.predict(points)[0] for process in self.processes]))

    def left_out(self) -> Matrix:
        """The mean (N,) of every target from the others: the weight of a process does not know the target either."""
        means, densities = map(np.array, zip(*(process.left_out() for process in self.processes), strict=True))
        logarithms = np.log(self.weights)[:, None] - densities
        weights = np.exp(logarithms - logarithms.max(axis=0))
        return np.asarray((weights * means).sum(axis=0) / weights.sum(axis=0))


def _grid(points: Matrix, targets: Matrix) -> Iterator[GaussianProcess]:
    """The processes of all kernels, each with its log marginal likelihood, up to a constant."""
    distances, products = _distances(points, points), points @ points.T
    for length, linear, noise in product(LENGTHS, LINEAR, NOISE):
        covariance = _kernel(distances, products, points.shape[1], length, linear)
        covariance[np.diag_indices_from(covariance)] += noise
        factor = cho_factor(covariance, lower=True)[0]
        weights = cho_solve((factor, True), targets)
        scale = float(targets @ weights) / len(targets)
        likelihood = -0.5 * len(targets) * np.log(max(scale, 1e-12)) - np.log(np.diag(factor)).sum()
        yield GaussianProcess(points, targets, length, linear, factor, weights, scale, float(likelihood))


def _kernel(distances: Matrix, products: Matrix, features: int, length: float, linear: float) -> Matrix:
    scaled = np.sqrt(5) * distances / (length * np.sqrt(features))
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled) + linear * products / features)


def _distances(first: Matrix, second: Matrix) -> Matrix:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :] - 2 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
