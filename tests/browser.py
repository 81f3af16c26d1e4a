"""A browser without a window: what it makes of a page, what it complains of, and a picture."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DARK = "--blink-settings=preferredColorScheme=0"


@dataclass(frozen=True, slots=True)
class Browser:
    """Chromium.

    Attributes:
        program: Where it is.
        folder: Where its profile and its pictures go.
    """

    program: str
    folder: Path

    @classmethod
    def find(cls, folder: Path) -> Browser:
        """Skip the test where there is none."""
        found = next(filter(None, map(shutil.which, _NAMES)), None)
        if found is None:
            pytest.skip(f"there is no {_NAMES[0]}")
        return cls(found, folder)

    def read(self, page: Path) -> tuple[str, list[str]]:
        """The page's elements as they are after it was loaded, and what the console says."""
        done = self._run(page, "--dump-dom", "--enable-logging=stderr")
        return done.stdout, re.findall(r"CONSOLE.*?\] (.*)", done.stderr)

    def look(
        self, page: Path, size: tuple[int, int], *, dark: bool = False
    ) -> NDArray[np.float32]:
        """A picture of the page, shape ``(height, width, channels)``."""
        picture = self.folder / "picture.png"
        scheme = [_DARK] if dark else []
        shown = [f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}"]
        self._run(page, "--hide-scrollbars", *shown, *scheme)
        return np.asarray(imread(picture), dtype=np.float32)

    def _run(self, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        own = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        # Nothing but files can be reached.
        own += ["--proxy-server=127.0.0.1:9", f"--user-data-dir={self.folder / 'profile'}"]
        return subprocess.run(
            [self.program, *own, *options, page.as_uri()],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
