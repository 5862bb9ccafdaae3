"""What earlier trainings know about a new data set: a table of finished trainings, and a prior made of it.

    python tests/benchmarks/prior.py collect --out FILE --data digits --budget 0.3MFLOPs --images 96000 --shapes 16
    python tests/benchmarks/prior.py fit FILE --without fashion-mnist

`collect` trains shapes of the space `micro` on every data set under every budget, and appends one row of JSON for each
finished training; started again with the same options, it continues after the last one. Validation images only: no
test image is read. `fit` prints how well the prior ranks data sets that it was not made of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from prior_fit import enough, groups_by_data, print_correlations, print_effects, print_portfolio, prior_of, without
from prior_training import AVERAGE_DECAY, WARM_UP, Source, train, training_of

from lightcnn.budget import Budget
from lightcnn.cost import layers
from lightcnn.engine.schedules import DECAY_SHARE
from lightcnn.errors import LightcnnError
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace, Shape
from lightcnn.spec import NetworkSpec
from lightcnn.start_shapes import with_sizes

SPACE = "micro"
"""The space of all shapes."""
SMALLER_BUDGET = 0.6
"""Every fourth shape is fitted to this share of the budget, so that the table shows what using less of it does."""


def proposal(number: int, rows: list[dict[str, Any]]) -> tuple[str, Shape]:
    """The origin and the shape of a number: the start, then a draw and a mutation of the start in turn.

    A shape that the table has is taken from it, so that all data sets get the same even if draws have changed since.
    """
    earlier = [row for row in rows if row["number"] == number]
    if earlier:
        row = max(earlier, key=lambda row: (row["data_size"], len(row["proposed"])))
        return row["origin"], row["proposed"]
    random, space = Random(hashlib.sha256(f"prior/{number}".encode()).digest()), SearchSpace.load(SPACE)
    if number == 0:
        return "start", space.first()
    return ("draw", space.draw(random)) if number % 2 else ("mutation", space.mutate(space.first(), random))


def budget_of(text: str, number: int) -> Budget:
    """The budget of a shape: every fourth one has a smaller one."""
    value = float(text.removesuffix("MFLOPs"))
    return Budget.parse(f"{value * (SMALLER_BUDGET if number % 4 == 3 else 1):g}MFLOPs")


def resolutions(spec: NetworkSpec) -> list[list[float]]:
    """Multiply-adds of each convolution or linear layer, by the height of its output in pixels."""
    macs: dict[int, int] = {}
    for row in layers(spec):
        if row.cost.macs:
            height = row.shape[1] if len(row.shape) == 3 else 1
            macs[height] = macs.get(height, 0) + row.cost.macs
    return [[height, macs[height]] for height in sorted(macs)]


def row_of(source: Source, budget: str, number: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains the shape of a number, with the next smaller size that the data have, and describes it and its scores."""
    dataset = source.dataset
    space = SearchSpace.load(SPACE).for_data(dataset.channels, len(dataset.classes), dataset.size)
    images = options.images
    origin, proposed = proposal(number, known(options.out))
    shape = space.first() | with_sizes(proposed, space.size)
    shape = {gene.name: shape[gene.name] for gene in space.genes()}
    candidate = BudgetedSpace(space, budget_of(budget, number)).candidate(shape, Random(number))
    began = time.process_time()
    scores, end = train(source, candidate.spec, images)
    training = training_of(source, images)
    return {
        "data": source.name, "budget": budget, "number": number, "images": images, "origin": origin,
        "train_images": len(source.train), "val_images": len(source.val), "classes": len(dataset.classes),
        "channels": dataset.channels, "data_size": dataset.size, "space": SPACE,
        "proposed": proposed, "shape": dict(candidate.shape), "input": candidate.spec.input[1],
        "layers": sum(row.cost.macs > 0 for row in layers(candidate.spec)),
        "macs": candidate.cost.macs, "params": candidate.cost.params,
        "peak_activations": candidate.cost.peak_activations, "resolutions": resolutions(candidate.spec),
        "stage_macs": space.stage_macs(candidate.shape),
        "training": {"batch": training.batch, "learning_rate": training.learning_rate, "warm_up": WARM_UP,
                     "decay_share": DECAY_SHARE, "average_decay": AVERAGE_DECAY},
        "rungs": scores, "end": end, "cpu_seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def known(file: Path) -> list[dict[str, Any]]:
    """The rows of a table. A last line that was cut off is removed from the file."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        file.write_text(text, encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def missing(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """The trainings that the table lacks, all data sets and budgets of one shape number before the next number."""
    done = {(row["data"], row["budget"], row["number"], row["images"]) for row in known(options.out)}
    for number in range(options.shapes):
        for budget in options.budget:
            for data in options.data:
                if (data, budget, number, options.images) not in done:
                    yield data, budget, number


def collect(options: argparse.Namespace) -> None:
    """Trains what the table lacks until it is complete or the time is over."""
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * options.minutes
    sources: dict[str, Source] = {}
    for data, budget, number in missing(options):
        if time.monotonic() > end:
            break
        sources[data] = sources.get(data) or Source.load(data)
        try:
            row = row_of(sources[data], budget, number, options)
        except (LightcnnError, ValueError) as error:
            print(f"{data}, {budget}, shape {number}: {error}", flush=True)
            continue
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        scores = row["end"]["averaged"]
        print(
            f"{data}, {budget}, shape {number} ({row['origin']}): accuracy {scores['accuracy']:.4f}, log loss "
            f"{scores['log_loss']:.4f}, {row['cpu_seconds']:.0f} s",
            flush=True,
        )


def evaluate(options: argparse.Namespace) -> None:
    """Prints the prior and the portfolio of a table, and what they are worth on data sets that they lack."""
    rows = without(known(options.table), options.without)
    if not enough(rows):
        raise SystemExit(f"{options.table}: too few finished trainings are left; collect more, or leave out fewer sets")
    print(f"{len(rows)} trainings: " + ", ".join(f"{len(g)} of {d} {b}" for (d, b), g in groups_by_data(rows).items()))
    prior = prior_of(rows)
    print_effects(prior)
    print_correlations(rows, options.fidelity)
    print_portfolio(rows)
    if options.write:
        options.write.write_text(json.dumps(prior.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    collecting = commands.add_parser("collect", help="train shapes and append them to a table")
    collecting.add_argument("--out", type=Path, required=True, help="the table, a file of JSON lines")
    collecting.add_argument("--data", nargs="+", required=True, help="data sets")
    collecting.add_argument("--budget", nargs="+", default=["0.3MFLOPs", "1MFLOPs", "4MFLOPs"])
    collecting.add_argument("--images", type=int, default=400_000, help="images of one training")
    collecting.add_argument("--shapes", type=int, default=32, help="shapes for each data set and budget")
    collecting.add_argument("--minutes", type=float, default=1e9, help="no training starts after that time")
    collecting.set_defaults(run=collect)
    fitting = commands.add_parser("fit", help="print the prior of a table, and how it ranks data sets that it lacks")
    fitting.add_argument("table", type=Path, help="the table that collect wrote")
    fitting.add_argument("--without", nargs="+", default=[], help="data sets to leave out, with all their variants")
    fitting.add_argument("--fidelity", type=Path, help="networks of Fashion-MNIST after a million images, to check on")
    fitting.add_argument("--write", type=Path, help="file that the prior is written to, as JSON")
    fitting.set_defaults(run=evaluate)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
