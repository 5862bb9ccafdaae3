"""How long fitting a shape to a budget takes, and how much of the budget the fitted networks use.

python tests/benchmarks/fit.py [--shapes 200] [--budget 1MFLOPs] [--space micro]

To compare with another version, run it in both checkouts, one after the other, on the same idle core.
"""

from __future__ import annotations

import argparse
import statistics
import time
from random import Random

from lightcnn.budget import Budget
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=200)
    parser.add_argument("--budget", default="1MFLOPs")
    parser.add_argument("--space", default="micro")
    options = parser.parse_args()
    space = BudgetedSpace(SearchSpace.load(options.space).for_data(1, 10, 28), Budget.parse(options.budget))
    random = Random(0)
    seconds, shares = [], []
    genes = space.genes()
    for shape in [{gene.name: random.choice(gene.options) for gene in genes} for _ in range(options.shapes)]:
        start = time.process_time()
        candidate = space.fit(shape)
        seconds.append(time.process_time() - start)
        shares += [] if candidate is None else [space.budget.used_share(candidate.cost)]
    median, mean = 1e3 * statistics.median(seconds), 1e3 * statistics.mean(seconds)
    print(f"{options.space} under {options.budget}, {options.shapes} random shapes, {len(shares)} fitted")
    print(f"CPU time of a fit: median {median:.2f} ms, mean {mean:.2f} ms")
    print(f"share of the budget used: mean {statistics.mean(shares):.4f}, smallest {min(shares):.4f}")


if __name__ == "__main__":
    main()
