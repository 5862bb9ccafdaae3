"""Whether two profiles of the same networks, made one after the other on one machine, agree on their times.

    python tests/benchmarks/repeatability.py [RUN RUN]

Without run folders of `lightcnn profile`, the default profile is made twice. It prints both medians of every network,
the pair of networks whose ratio of medians differs most between the profiles, and every pair that differs by more than
15 % in one profile and has the opposite order in the other.
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
    """Network → median milliseconds of one image."""
    return {row["name"]: row["latency_ms"]["median"] for row in run.report["rows"] if row["latency_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="Two run folders of `lightcnn profile`.")
    folders = parser.parse_args().runs
    if len(folders) not in (0, 2):
        parser.error("give two run folders, or none")
    with tempfile.TemporaryDirectory() as folder:
        runs = [RunFolder.load(path) for path in folders] or [run((), out=Path(folder) / str(n)) for n in (1, 2)]
        first, second = map(medians, runs)
        seconds = [run.report["seconds"] for run in runs]
    print(f"{'':18}{'first, ms':>10}{'second, ms':>12}{'ratio':>7}")
    for name, value in first.items():
        print(f"{name:18}{value:10.2f}{second[name]:12.2f}{second[name] / value:7.3f}")
    pairs = {(a, b): (first[a] / first[b], second[a] / second[b]) for a, b in itertools.combinations(first, 2)}
    factors = {pair: max(a / b, b / a) for pair, (a, b) in pairs.items()}
    worst = max(factors, key=lambda pair: factors[pair])
    print(f"\n{len(pairs)} pairs; ratios of medians differ by {factors[worst] - 1:.1%} at most ({' / '.join(worst)})")
    reversed_pairs = [
        " and ".join(pair) for pair, (a, b) in pairs.items()
        if (a > 1) != (b > 1) and max(a, b, 1 / a, 1 / b) > CLOSE
    ]  # fmt: skip
    print(f"more than {CLOSE - 1:.0%} apart and in the opposite order: {'; '.join(reversed_pairs) or 'none'}")
    print(f"{seconds[0]:.0f} s and {seconds[1]:.0f} s")


if __name__ == "__main__":
    main()
