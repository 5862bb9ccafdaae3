"""Writes docs/pictures/report.png: the beginning of a search's report.html, in two columns, as Chromium shows it.

python docs/generate_screenshot.py [--run DIR]

Without `--run` it first searches for two minutes, with the command in `COMMAND`. Chromium: `apt-get install chromium`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SCREENSHOT = Path(__file__).parent / "pictures/report.png"
COMMAND = ("search", "--budget", "1MFLOPs", "--time", "2m")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 900
"""Pixels of one column."""
BREAK = (900, 1350)
"""The first column ends in the largest blank space between these rows."""
FADE = 60
"""Pixels at the bottom right that fade to white: the page continues there."""
COLOURS = 256
MAX_BYTES = 200_000


def screenshot(page: Path, folder: Path) -> Image.Image:
    """The beginning of a page, enough for two columns."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed; install one, e.g. `apt-get install chromium`")
    file = folder / "page.png"
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--user-data-dir={folder / 'profile'}", f"--window-size={WIDTH},{2 * BREAK[1]}", f"--screenshot={file}",
         page.resolve().as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return Image.open(file).convert("RGB")


def page_break(page: Image.Image) -> int:
    """The row at the end of the first column: the middle of the largest blank space in `BREAK`."""
    blank = (np.asarray(page.convert("L")) == 255).all(axis=1)
    spaces = np.split(np.arange(*BREAK), np.flatnonzero(~blank[slice(*BREAK)]))
    return int(np.median(max(spaces, key=len)))


def columns(page: Image.Image) -> bytes:
    """What is above the break next to what follows it, as a small PNG."""
    height = page_break(page)
    both = Image.new("RGB", (2 * WIDTH, height), "white")
    both.paste(page.crop((0, 0, WIDTH, height)), (0, 0))
    both.paste(page.crop((0, height, WIDTH, 2 * height)), (WIDTH, 0))
    both.paste("white", (WIDTH, height - FADE), Image.linear_gradient("L").resize((WIDTH, FADE)))
    buffer = io.BytesIO()
    both.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="the run folder of a finished search (default: search now)")
    run = parser.parse_args().run
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if run is None:
            run = folder / "search"
            subprocess.run([sys.executable, "-m", "lightcnn", *COMMAND, "--out", str(run)], check=True)
        png = columns(screenshot(run / "report.html", folder))
    if len(png) > MAX_BYTES:
        raise SystemExit(f"the screenshot has {len(png):,} bytes, more than {MAX_BYTES:,}; lower COLOURS")
    SCREENSHOT.write_bytes(png)


if __name__ == "__main__":
    main()
