"""Colours by class."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt

COLOURS = (np.array(plt.get_cmap("tab20").colors) * 255).astype(np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
IGNORED = (255, 255, 255)
"""Colour of what does not count."""


def colour_of(label: int) -> tuple[int, ...]:
    """RGB, from 0 to 255."""
    return tuple(int(c) for c in COLOURS[label % len(COLOURS)])
