"""Searches of two to four minutes as a new user runs them, and what the terminal says.

    python tests/benchmarks/new_user.py [FOLDER] [--photographs groups.csv] [--only 1 2 3]

Runs each command with its defaults in a new folder in FOLDER, and prints it with all lines that it printed. With
photographs in a manifest, they are searched last, on a new split. Nothing else should run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SEARCHES = (
    "--budget 1MFLOPs --data synthetic-lesions:count=3000,classes=6,size=64 --time 3m",
    "--budget 300kFLOPs --data synthetic-lesions:count=2000,classes=2,size=96 --time 2m",
    "--budget 4MFLOPs --data synthetic-lesions:count=4000,classes=4,size=128 --time 4m",
    "--budget 50kparams --data synthetic-lesions:count=1000,classes=3,size=224 --time 2m",
    "--budget 1MFLOPs --data digits --time 2m",
)
PHOTOGRAPHS = "--budget 4MFLOPs --resplit --time 2m"


def printed(options: list[str], out: Path) -> str:
    """All lines that a search prints."""
    command = [sys.executable, "-m", "lightcnn", "search", *options, "--out", str(out)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return result.stdout.replace(str(out), out.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="for the runs; otherwise they are deleted")
    parser.add_argument("--photographs", help="manifest")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of searches, from 1")
    options = parser.parse_args()
    searches = [(text, text.split()) for text in SEARCHES]
    if options.photographs:
        name = Path(options.photographs).name
        searches.append((f"{PHOTOGRAPHS} --data {name}", [*PHOTOGRAPHS.split(), "--data", options.photographs]))
    with tempfile.TemporaryDirectory() as temporary:
        for number, (shown, arguments) in enumerate(searches, 1):
            if options.only is None or number in options.only:
                out = (options.folder or Path(temporary)) / f"search{number}"
                print(f"$ lightcnn search {shown}\n{printed(arguments, out)}", flush=True)


if __name__ == "__main__":
    main()
