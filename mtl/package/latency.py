"""How long the packaged model takes for one image, from its encoded bytes to the typed row."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from mtl.package.predictor import Predictor
from mtl.seeds import Stream, generator

WARM_UP, ROUNDS = 5, 50


def median_latency(bundle: Path) -> float:
    """Milliseconds, the median of 50 calls, with an image of noise of the model's own size."""
    predictor = Predictor(bundle)
    image = predictor.bundle.image
    pixels = generator(0, Stream.LATENCY).integers(0, 256, (image.height, image.width, 3), np.uint8)
    ok, data = cv2.imencode(".png", pixels)
    assert ok
    taken: list[float] = []
    for _ in range(WARM_UP + ROUNDS):
        began = time.perf_counter()
        predictor.predict([data.tobytes()])
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[WARM_UP:])
