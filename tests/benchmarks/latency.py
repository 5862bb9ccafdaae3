"""Predicted against measured latency: how wrong is the model of a search, and do its networks meet the limit?

    python tests/benchmarks/latency.py --space micro --budget 1ms
    python tests/benchmarks/latency.py --space mobilenet --budget 5ms --searches 20
    python tests/benchmarks/latency.py --space micro --budget 1ms,0.5ms-onnx
    python tests/benchmarks/latency.py --space micro --fits
    python tests/benchmarks/latency.py --space micro --repeats 6

Makes the model of a search, then times networks that the model did not see, all in turns. The peer is a line through
logarithms of multiply-adds, fitted to the same networks. With `--searches`, runs that many searches on digits with
limits between half and twice the budget, each by the command, and times each delivered network once more.

With `--fits`, only times networks and fits models to some of them, with several penalties and several numbers of
networks, and prints the errors for the others.

With `--repeats`, only times the same networks that often, and prints by how much their times differ, for several ways
to make one time of many rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from lightcnn import Budget, NetworkSpec, SearchSpace, document
from lightcnn.budget import Limit
from lightcnn.cost import cost
from lightcnn.latency_model import RUNTIME_OF, LatencyModel, latency_features
from lightcnn.measurement.latency import describe_machine, measure_rounds, torch_threads
from lightcnn.measurement.latency_fit import (
    MAX_ROUNDS,
    QUIET_ROUNDS,
    ROUND_SECONDS,
    fit_latency,
    least_median,
    ready_network,
    time_networks,
)
from lightcnn.program import program
from lightcnn.progress import no_progress
from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
from lightcnn.searching.latency.models import measure_models

FIT_NETWORKS, FIT_SHARES, FIT_DRAWS = 40, (0.4, 0.8, 1.3), 20
"""Networks at each of these shares of a limit, and draws of those that models are fitted to."""
AGAIN_SECONDS = 5.0
"""For so long is a delivered network timed once more."""


def predictions(space: SearchSpace, budget: Budget, count: int, seconds_left: float) -> None:
    """Prints the errors over `count` networks that are fitted to the budget."""
    start = time.monotonic()
    models = measure_models(space, budget, 0, no_progress, seconds_left).models
    seconds = time.monotonic() - start
    bounded, random = BudgetedSpace(space, budget, latencies=models), Random(1)
    candidates = [bounded.candidate(bounded.draw(random), random) for _ in range(count)]
    print(f"{space.name}, {budget}, {count} networks; {models[0].networks} were timed in {seconds:.1f} s")
    for model, limit in zip(models, budget.limits, strict=True):
        print_errors(candidates, model, limit)


def print_errors(candidates: Sequence[Candidate], model: LatencyModel, limit: Limit) -> None:
    """Times the networks in the runtime of a model, and prints the errors of what it predicts for them."""
    measured = np.array(time_networks([each.spec for each in candidates], model.runtime))
    predicted = np.array([getattr(each.cost, model.resource) / (1 + model.error) for each in candidates])
    macs = np.log([cost(each.spec).macs for each in candidates])
    line = np.exp(np.polyval(np.polyfit(macs, np.log(measured), 1), macs))  # fitted to the networks that it is tried on
    print(f"{model.runtime}: stated error {model.error:.1%}")
    print("| prediction | median error | error of 9 in 10 | largest |\n|---|---|---|---|")
    for name, values in (("model", predicted), ("line through multiply-adds, fitted to these", line)):
        errors = np.abs(values / measured - 1)
        print(f"| {name} | {np.median(errors):.1%} | {np.quantile(errors, 0.9):.1%} | {errors.max():.1%} |")
    within, use = int((measured <= limit.upper).sum()), np.median(measured) / limit.upper
    print(f"{within} of {len(measured)} are within the limit; median use {use:.1%}")


def fits(space: SearchSpace, budget: Budget) -> None:
    """Prints the errors of models that are fitted to some of the same networks, means over draws of these."""
    (limit,), (model,) = budget.limits, measure_models(space, budget, 0, no_progress).models
    random, specs = Random(1), list[NetworkSpec]()
    for share in FIT_SHARES:
        near = Budget((replace(limit, upper=round(share * limit.upper)),))
        bounded = BudgetedSpace(space, near, latencies=(model,))
        specs += [bounded.candidate(bounded.draw(random), random).spec for _ in range(FIT_NETWORKS)]
    measured = np.array(time_networks(specs, model.runtime))
    features = [latency_features(program(each)) for each in specs]
    draws = [np.random.default_rng(seed).permutation(len(specs)) for seed in range(FIT_DRAWS)]
    print(f"{space.name}, {budget}, {model.runtime}, {len(specs)} networks, means of {FIT_DRAWS} draws")
    print("| networks | penalty | stated error | median error | error of 9 in 10 | within the bound |")
    print("|---" * 6 + "|")
    for count, penalty in itertools.product((15, 20, 30, 45), (0.0, 0.1, 0.3, 1.0)):
        rows = []
        for drawn in draws:
            few, others = drawn[:count], drawn[count:]
            fitted = fit_latency([specs[n] for n in few], list(measured[few]), model.runtime, penalty=penalty)
            ratios = np.array([fitted.predict(features[n]) for n in others]) / measured[others]
            errors = np.abs(ratios - 1)
            within = np.mean(ratios * (1 + fitted.error) >= 1)
            rows.append((fitted.error, np.median(errors), np.quantile(errors, 0.9), within))
        values = " | ".join(f"{value:.1%}" for value in np.mean(rows, axis=0))
        print(f"| {count} | {penalty:g} | {values} |", flush=True)


def repeatability(space: SearchSpace, budget: Budget, count: int, repeats: int) -> None:
    """Prints how much the times of the same networks differ, if they are timed again some seconds later."""
    bounded, random = BudgetedSpace(space, Budget.parse("3MFLOPs")), Random(1)
    specs = [bounded.candidate(bounded.draw(random), random).spec for _ in range(count)]
    with torch_threads(1):
        ready = [ready_network(spec, RUNTIME_OF[budget.limits[0].resource.name]) for spec in specs]
        windows = []
        for _ in range(repeats):
            windows.append(np.array(measure_rounds(ready, ROUND_SECONDS * count, no_progress, max_rounds=MAX_ROUNDS)))
            time.sleep(5)
    least = min(len(rounds[0]) for rounds in windows)
    print(f"{space.name}, {count} networks, timed {repeats} times, each in at least {least} rounds")
    print("| time of a network | slowest / quickest repeat | median deviation | of 9 in 10 | median within repeats |")
    print("|---" * 5 + "|")
    for name, times in {
        "median of all rounds": [np.median(rounds, axis=1) for rounds in windows],
        "shortest": [rounds.min(axis=1) for rounds in windows],
        "tenth of all rounds": [np.quantile(rounds, 0.1, axis=1) for rounds in windows],
        **{
            f"least median of {count} rounds": [
                [least_median(times, count) for times in rounds.tolist()] for rounds in windows
            ]
            for count in sorted({3, QUIET_ROUNDS, 10})
        },
    }.items():
        logs = np.log(times)
        deviations, repeat = logs - logs.mean(axis=0), logs.mean(axis=1, keepdims=True)
        within = np.abs(deviations - (repeat - repeat.mean()))
        print(
            f"| {name} | {np.exp(np.ptp(repeat)):.2f} | {np.median(np.abs(deviations)):.1%} | "
            f"{np.quantile(np.abs(deviations), 0.9):.1%} | {np.median(within):.1%} |"
        )


def searches(space: str, budget: Budget, count: int, seconds: float) -> None:
    """Runs searches, and times what they deliver."""
    limit, met, again_met = budget.limits[0], 0, 0
    print(
        "| limit (ms) | predicted at most | measured by the search | measured again | within |\n|---|---|---|---|---|"
    )
    for number, share in enumerate(np.geomspace(0.5, 2, count)):
        upper = round(limit.upper * share)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            ending = "us-onnx" if "onnx" in limit.resource.name else "us"
            command = [
                sys.executable, "-m", "lightcnn", "search", "--budget", f"{upper}{ending}", "--space", space,
                "--time", f"{seconds}s", "--seed", str(number), "--quiet", "--out", str(out),
            ]  # fmt: skip
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                print(
                    f"| {upper / 1000:.3f} | exit {ended.returncode}: {ended.stderr.strip().splitlines()[-1]} | | | |"
                )
                continue
            report = json.loads((out / "report.json").read_text(encoding="utf-8"))
            spec = document.load(NetworkSpec, out / "spec.yaml")
        name = limit.resource.name
        by_search, again = (
            report["latency"][name]["measured"],
            time_networks([spec], report["latency"][name]["runtime"], seconds=AGAIN_SECONDS)[0],
        )
        met, again_met = met + (by_search <= upper), again_met + (again <= upper)
        values = (upper, report["network"]["cost"][name], by_search, again)
        print(" | ".join(["", *(f"{value / 1000:.3f}" for value in values), str(again <= upper), ""]).strip())
    print(f"{met} of {count} searches delivered a network within the limit; {again_met} are when timed again, once")


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="micro")
    parser.add_argument("--budget", default="1ms", help="one limit in ms or ms-onnx")
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--searches", type=int, default=0)
    parser.add_argument("--fits", action="store_true")
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=40, help="time limit of each of these searches")
    parser.add_argument(
        "--time-limit", type=float, default=math.inf, help="seconds of the search that the model is made for"
    )
    options = parser.parse_args()
    budget, machine = Budget.parse(options.budget), describe_machine()
    print(f"{machine['processor']}, load {machine['load']}, torch {machine['packages']['torch']}")
    if options.repeats:
        repeatability(SearchSpace.load(options.space), budget, options.networks, options.repeats)
        return
    if options.fits:
        fits(SearchSpace.load(options.space), budget)
        return
    predictions(SearchSpace.load(options.space), budget, options.networks, options.time_limit)
    if options.searches:
        searches(options.space, budget, options.searches, options.seconds)


if __name__ == "__main__":
    main()
