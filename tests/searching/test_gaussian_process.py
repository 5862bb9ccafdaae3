"""The Gaussian process: equal to scikit-learn's with the same kernel, and its grid chooses what generated the data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

from lightcnn.searching.strategies import gaussian_process
from lightcnn.searching.strategies.gaussian_process import (
    LENGTHS,
    LINEAR,
    NOISE,
    AveragedProcess,
    GaussianProcess,
    _grid,
)


def data(count: int = 25, features: int = 4, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    points = random.standard_normal((count, features))
    targets = np.sin(points[:, 0]) + 0.5 * points[:, 1] + noise * random.standard_normal(count)
    return points, (targets - targets.mean()) / targets.std()


def test_mean_and_deviation_are_those_of_scikit_learn() -> None:
    points, targets = data()
    process = GaussianProcess.fit(points, targets)
    features = points.shape[1]
    noise = next(n for n in NOISE if np.isclose(np.linalg.slogdet(_covariance(process, n))[1], _log_det(process)))
    linear = ConstantKernel(process.linear / features) * DotProduct(sigma_0=1e-9)
    matern = Matern(length_scale=process.length * np.sqrt(features), nu=2.5)
    kernel = ConstantKernel(process.scale) * ((matern + linear if process.linear else matern) + WhiteKernel(noise))
    reference = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-12).fit(points, targets)
    new = np.random.default_rng(1).standard_normal((10, features))
    mean, deviation = process.predict(new)
    expected, with_noise = reference.predict(new, return_std=True)
    np.testing.assert_allclose(mean, expected, atol=1e-8)
    np.testing.assert_allclose(deviation**2, with_noise**2 - process.scale * noise, atol=1e-8)


def _covariance(process: GaussianProcess, noise: float) -> np.ndarray:
    points, features = process.points, process.points.shape[1]
    kernel = Matern(length_scale=process.length * np.sqrt(features), nu=2.5)(points)
    return kernel + process.linear * points @ points.T / features + noise * np.eye(len(points))


def _log_det(process: GaussianProcess) -> float:
    return float(2 * np.log(np.diag(process.factor)).sum())


def test_the_fit_has_the_largest_marginal_likelihood_of_the_grid() -> None:
    points, targets = data(count=12)
    process = GaussianProcess.fit(points, targets)

    def surprise(length: float, linear: float, noise: float) -> float:
        candidate = GaussianProcess(points, targets, length, linear, np.eye(1), targets, 1.0, 0.0)
        covariance = _covariance(candidate, noise)
        scale = targets @ np.linalg.solve(covariance, targets) / len(targets)
        return float(len(targets) * np.log(scale) + np.linalg.slogdet(covariance)[1])

    grid = {(a, b, c): surprise(a, b, c) for a in LENGTHS for b in LINEAR for c in NOISE}
    length, linear, _ = min(grid, key=lambda key: grid[key])
    assert (process.length, process.linear) == (length, linear)


def test_known_points_are_predicted_with_less_deviation_than_far_points() -> None:
    points, targets = data(noise=0.0)
    process = GaussianProcess.fit(points, targets)
    mean, near = process.predict(points)
    _, far = process.predict(points + 20)
    assert np.abs(mean - targets).max() < 0.3
    assert near.max() < far.min()


def test_equal_targets_are_predicted_everywhere() -> None:
    points, _ = data(count=8)
    mean, _ = GaussianProcess.fit(points, np.zeros(8)).predict(points + 1)
    assert mean == pytest.approx(np.zeros(8))


def test_left_out_is_the_prediction_of_a_process_without_the_point() -> None:
    points, targets = data(count=10)
    process = GaussianProcess.fit(points, targets)
    noise = next(n for n in NOISE if np.isclose(np.linalg.slogdet(_covariance(process, n))[1], _log_det(process)))
    covariance = _covariance(process, noise)
    means, densities = process.left_out()
    for left in range(len(points)):
        rest = np.arange(len(points)) != left
        weights = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, left])
        mean, variance = (
            weights @ targets[rest],
            process.scale * (covariance[left, left] - weights @ covariance[rest, left]),
        )
        assert means[left] == pytest.approx(mean, abs=1e-9)
        assert densities[left] == pytest.approx(norm.logpdf(targets[left], mean, np.sqrt(variance)), abs=1e-9)


def test_the_average_weights_all_kernels_by_their_likelihood_and_leaves_targets_out_of_the_weights() -> None:
    points, targets = data(count=8)
    grid = list(_grid(points, targets))
    weights = np.exp([process.likelihood - max(other.likelihood for other in grid) for process in grid])
    average, new = AveragedProcess.fit(points, targets), np.random.default_rng(1).standard_normal((5, points.shape[1]))
    expected = weights @ np.array([process.predict(new)[0] for process in grid]) / weights.sum()
    np.testing.assert_allclose(average.predict(new), expected, atol=5e-3)
    left_out = average.left_out()
    for left in range(len(points)):
        of_process = [(process.left_out()[0][left], process.left_out()[1][left]) for process in average.processes]
        without = average.weights / np.exp([density for _, density in of_process])
        assert left_out[left] == pytest.approx(without @ [mean for mean, _ in of_process] / without.sum(), abs=1e-9)


def test_a_grid_of_one_kernel_makes_the_average_that_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LENGTHS", "LINEAR", "NOISE"):
        monkeypatch.setattr(gaussian_process, name, getattr(gaussian_process, name)[1:2])
    points, targets = data(count=8)
    average, process = AveragedProcess.fit(points, targets), GaussianProcess.fit(points, targets)
    np.testing.assert_allclose(average.predict(points + 1), process.predict(points + 1)[0])
    np.testing.assert_allclose(average.left_out(), process.left_out()[0])
