"""Whether two profiles of the same networks on one machine, one after the other, say the same of their times.

    python tests/benchmarks/repeatability.py [RUN RUN]

Without run folders of `lightcnn profile`, the default profile is made twice. Prints both medians of every network, the
pair of networks whose ratio of medians differs most between the profiles, and every pair that lies more than 15 % apart
in one of them and stands in the other order in the other.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from lightcnn.profiling.job import run
from lightcnn.run_folder import RunFolder

CLOSE = 1.15


def medians(run: RunFolder) -> dict[str, float]:
    """Milliseconds of one image, by network."""
    return {row["name"]: row["latency_ms"]["median"] for row in run.report["rows"] if row["latency_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="two run folders of `lightcnn profile`")
    given = parser.parse_args().runs
    if len(given) not in (0, 2):
        parser.error("give two run folders, or none")
    with tempfile.TemporaryDirectory() as folder:
        runs = [RunFolder.load(path) for path in given] or [run((), out=Path(folder) / str(n)) for n in (1, 2)]
        first, second = map(medians, runs)
        seconds = [run.report["seconds"] for run in runs]
    print(f"{'':18}{'first, ms':>10}{'second, ms':>12}{'ratio':>7}")
    for name, value in first.items():
        print(f"{name:18}{value:10.2f}{second[name]:12.2f}{second[name] / value:7.3f}")
    pairs = {
        (one, other): (first[one] / first[other], second[one] / second[other])
        for one, other in itertools.combinations(first, 2)
    }
    apart = {pair: max(a / b, b / a) for pair, (a, b) in pairs.items()}
    worst = max(apart, key=lambda pair: apart[pair])
    print(f"\n{len(pairs)} pairs; ratios of medians differ by {apart[worst] - 1:.1%} at most ({' / '.join(worst)})")
    wrong = [
        " and ".join(pair) for pair, (a, b) in pairs.items()
        if (a > 1) != (b > 1) and max(a, b, 1 / a, 1 / b) > CLOSE
    ]  # fmt: skip
    print(f"more than {CLOSE - 1:.0%} apart and in another order: {'; '.join(wrong) or 'none'}")
    print(f"{seconds[0]:.0f} s and {seconds[1]:.0f} s")


if __name__ == "__main__":
    main()
