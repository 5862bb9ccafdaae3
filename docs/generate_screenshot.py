"""Writes docs/pictures/search.png and train.png: the first screens of both reports, as Chromium shows them.

python docs/generate_screenshot.py [--runs DIR]

Without `--runs`, a folder with the runs of `COMMANDS`, it first makes them, which takes three minutes. Chromium:
`apt-get install chromium`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent / "pictures"
COMMANDS = {
    "search": ("search", "--budget", "1MFLOPs", "--time", "2m"),
    "train": ("train", "quick"),
}
"""The command of each image. The data are scikit-learn's digits."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT, SCALE = 1200, 1000, 1.5
"""Size of the window, and pixels of the image per pixel of it."""
COLOURS = 256
MAX_BYTES = 200_000


def make_run(name: str, folder: Path) -> None:
    """Runs a command in the folder, so that the page has no path of this machine."""
    command = [sys.executable, "-m", "lightcnn", *COMMANDS[name], "--out", f"runs/{name}", "--quiet"]
    subprocess.run(command, check=True, cwd=folder)


def screenshot(page: Path, folder: Path) -> bytes:
    """The first screen of a page in its light mode, as a small PNG file."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed; install one, e.g. `apt-get install chromium`")
    file = folder / "page.png"
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--user-data-dir={folder / 'profile'}", f"--force-device-scale-factor={SCALE}",
         f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={file}", page.resolve().as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    buffer = io.BytesIO()
    image = Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="a folder with finished runs named search and train")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in COMMANDS:
            if runs is None:
                make_run(kind, folder)
            png = screenshot((runs or folder / "runs") / kind / "report.html", folder)
            if len(png) > MAX_BYTES:
                raise SystemExit(f"{kind}.png has {len(png):,} bytes, more than {MAX_BYTES:,}; lower COLOURS")
            (FOLDER / f"{kind}.png").write_bytes(png)


if __name__ == "__main__":
    main()
