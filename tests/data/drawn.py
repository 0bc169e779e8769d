"""Small pictures and files for tests of what people bring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(path: Path, seed: int, width: int = 64, height: int = 48, **options: Any) -> Path:
    """A structured picture, another one for every seed, in the format that the path's extension says."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
    return path


def mask(path: Path, seed: int, value: int = 1, width: int = 64, height: int = 48) -> Path:
    """A grey PNG of 0 with a rectangle of `value`, somewhere."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width), np.uint8)
    x, y = rng.integers(2, width // 2), rng.integers(2, height // 2)
    pixels[y : y + height // 3, x : x + width // 3] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def written(path: Path, content: Any) -> Path:
    """A text, or a document as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path
