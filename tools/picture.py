"""The README's picture: a part of a real run's report, as Chromium shows it.

    mtl retrain
    python -m tools.picture REPORT docs/images/run.png [TOP]

REPORT is the path that the run printed at its end, TOP how many pixels of the page are above the picture.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZE = (1100, 740)
ASIDE = 290
"""Pixels at the left, where the page has its contents."""
LARGEST = 300_000
"""Bytes; a README is loaded by everybody."""


def take(page: Path, picture: Path, top: int = 0) -> None:
    """Save a part of a page as a PNG of at most 256 colours.

    Raises:
        SystemExit: there is no Chromium, or the picture is too large.
    """
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("error: there is no Chromium\n  fix:   install it, for instance apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        words = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        words += [f"--window-size={ASIDE + SIZE[0]},{top + SIZE[1]}", f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run([browser, *words], check=True, capture_output=True, timeout=120)
        with Image.open(shot) as image:
            seen = image.convert("RGB").crop((ASIDE, top, ASIDE + SIZE[0], top + SIZE[1]))
            seen.quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)
    if picture.stat().st_size > LARGEST:
        sys.exit(f"error: {picture} has {picture.stat().st_size} bytes, more than {LARGEST}")


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
