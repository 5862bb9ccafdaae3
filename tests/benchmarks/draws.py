"""How many random networks break a rule of balanced networks: a narrow convolution, or a layer with most of the cost.

python tests/benchmarks/draws.py [--draws 200] [--space micro] [--budgets 0.3MFLOPs 1MFLOPs 4MFLOPs]

`uniform` are shapes with independent widths, as they were drawn before; `family` are those of `SearchSpace.draw`, whose
widths grow from stage to stage. Both are fitted to the whole budget. `proposed` are the candidates of a search.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from random import Random

from lightcnn.budget import Budget
from lightcnn.cost import layer_extremes
from lightcnn.searching.budgeted_space import MAX_LAYER_SHARE, MIN_CHANNELS, BudgetedSpace, Candidate
from lightcnn.space import SearchSpace, Shape


def uniform(space: SearchSpace, random: Random) -> Shape:
    """A shape with every gene sampled uniformly."""
    return {gene.name: random.choice(gene.options) for gene in space.genes()}


def shares(candidates: Iterable[Candidate | None]) -> str:
    """The shares of the networks that break each rule."""
    fitted = [candidate for candidate in candidates if candidate is not None]
    extremes = [(*layer_extremes(candidate.spec), candidate.cost.macs) for candidate in fitted]
    narrow = [narrowest < MIN_CHANNELS for narrowest, _, _ in extremes]
    heavy = [largest > MAX_LAYER_SHARE * macs for _, largest, macs in extremes]
    either = sum(map(max, narrow, heavy))
    return "".join(f"{count / len(fitted):>10.1%}" for count in (sum(narrow), sum(heavy), either)) + f"{len(fitted):>8}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--space", default="micro")
    parser.add_argument("--budgets", nargs="+", default=["0.3MFLOPs", "1MFLOPs", "4MFLOPs"])
    options = parser.parse_args()
    space = SearchSpace.load(options.space).for_data(1, 10, 28)
    print(f"{'budget':<12}{'draws':<10}{'narrow':>10}{'heavy':>10}{'either':>10}{'fitted':>8}")
    for text in options.budgets:
        under, count = BudgetedSpace(space, Budget.parse(text)), range(options.draws)
        random = Random(0)
        for name, draw in (("uniform", lambda r: uniform(space, r)), ("family", space.draw)):
            print(f"{text:<12}{name:<10}{shares(under.fit(draw(random)) for _ in count)}")
        print(f"{text:<12}{'proposed':<10}{shares(under.candidate(under.draw(random), random) for _ in count)}")


if __name__ == "__main__":
    main()
