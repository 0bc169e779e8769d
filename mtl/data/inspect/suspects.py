"""What of newly arrived images looks as if somebody wanted a model to learn it: one patch in many images, and labels that
contradict what looks the same.

It knows pixels alone, no model's features: a patch is found where its pixels are much the same in many images, wherever it lies
(by odd and even pixels apart); a pattern that is blended over whole images, that is turned or scaled from image to image, or
that the eye does not see, is not. What is found is said, never removed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from mtl.data.inspect.near_duplicates import NearCopies
from mtl.data.inspect.report import Conflict, Patch, Suspects
from mtl.data.inspect.samples import Samples
from mtl.data.kinds import KINDS

MOST = 1000
"""Images of each kind, arrived and known, that are looked at, evenly over each split."""
BLOCK = 2
"""Pixels per side of what is compared as one: a window has 4×4 of them in colour, 7×7 in grey."""
CONTRAST = 24.0
"""Deviation of a window's pixels, of 255, below which it is no patch."""
FEWEST = 10
"""Arrivals with one window, from which on it is named."""
SHARE = 0.01
"""Of the arrivals, likewise."""
ONE_LABEL = 0.8
"""Share of a window's images that must have one label, where there are labels: a patch is to make a model say something."""
RARER = 10.0
"""How many times rarer the window must be among known images; without any, among arrivals of other labels."""
SHOWN = 8


Answers = dict[int, tuple[str, ...]]
"""Labels of samples by their place, as `target class`."""


def suspects(samples: Samples, arrived: np.ndarray, copies: NearCopies) -> Suspects:
    """Near duplicates of which one has arrived, with different labels; and windows that many arrivals share.

    Args:
        arrived: bool [samples], whether each was not there before.
    """
    new, old = _looked_at(samples, arrived, True), _looked_at(samples, arrived, False)
    return Suspects(
        num_arrived=int(np.count_nonzero(arrived)),
        num_looked_at=len(new),
        conflicts=tuple(_conflicts(samples, arrived, copies)),
        patches=tuple(_patches(samples, new, old)),
    )


def _answers(samples: Samples, places: Iterable[int]) -> Answers:
    """The labels of some samples, of those targets that they have."""
    labels = [(name, target) for name, target in samples.spec.targets.items() if KINDS[target.kind].exclusive]
    found: Answers = {}
    for place in sorted({*places}):
        shard, i = samples.at(place)
        present = [(name, target) for name, target in labels if shard.arrays[f"{name}.present"][i]]
        found[place] = tuple(f"{name} {target.classes[int(shard.arrays[name][i])]}" for name, target in present)
    return found


def _conflicts(samples: Samples, arrived: np.ndarray, copies: NearCopies) -> Iterator[Conflict]:
    """Near duplicates of which one has arrived, with another label of one target."""
    told = [(pair, places) for pair, places in zip(copies.pairs, copies.places, strict=True) if any(arrived[[*places]])]
    answers = _answers(samples, (place for _, places in told for place in places))
    for pair, places in told:
        one, other = ({a.split(" ")[0]: a for a in answers[place]} for place in places)
        differing = [name for name in one.keys() & other.keys() if one[name] != other[name]]
        if differing:
            yield Conflict(images=pair, labels=tuple((one[n], other[n]) for n in sorted(differing)))


def _looked_at(samples: Samples, arrived: np.ndarray, wanted: bool) -> list[int]:
    """Places, evenly over each split."""
    found: list[int] = []
    for start, end in pairwise([0, *samples.ends.tolist()]):
        chosen = np.flatnonzero(arrived[start:end] == wanted)
        some = np.unique(np.linspace(0, len(chosen) - 1, min(MOST, len(chosen))).astype(int)) if len(chosen) else []
        found += [start + int(chosen[i]) for i in some]
    return found


def _patches(samples: Samples, new: list[int], old: list[int]) -> list[Patch]:
    """Windows that many arrivals have and few known images; those of one set of images together, the largest set first."""
    answers = _answers(samples, new)
    codes = [_windows(samples, place) for place in new]
    if not codes:
        return []
    least = max(FEWEST, SHARE * len(new))
    distinct, counts = np.unique(np.concatenate(codes), return_counts=True)
    shared = distinct[counts >= least]
    having: defaultdict[int, list[int]] = defaultdict(list)
    for number, mine in enumerate(codes):
        for code in mine[np.isin(mine, shared)].tolist():
            having[code].append(number)
    before = Counter[int]()
    for place in old if len(shared) else ():
        before.update(np.intersect1d(_windows(samples, place), shared).tolist())
    found: list[tuple[set[int], int]] = []
    for code, numbers in sorted(having.items(), key=lambda one: (-len(one[1]), one[0])):
        if not _suspicious(numbers, before[code], new, old, answers):
            continue
        mine = set(numbers)
        if all(len(mine & images) < 0.5 * len(mine) for images, _ in found):
            found.append((mine, before[code]))
    return [_described([new[n] for n in sorted(images)], number, samples, answers) for images, number in found[:SHOWN]]


def _suspicious(numbers: list[int], before: int, new: list[int], old: list[int], answers: Answers) -> bool:
    """Whether a window goes with one label, and is so much rarer among known images, or where there are none among arrivals
    without that label, that it is no common motif.
    """
    told = Counter(answer for n in numbers for answer in answers[new[n]])
    main, count = told.most_common(1)[0] if told else ("", 0)
    if told and count < ONE_LABEL * len(numbers):
        return False
    if old:
        return len(numbers) / len(new) > RARER * (before + 1) / (len(old) + 1)
    others = sum(main not in answers[place] for place in new)
    if not told or not others:
        return False
    return count / (len(new) - others) > RARER * (len(numbers) - count + 1) / (others + 1)


def _described(places: list[int], before: int, samples: Samples, answers: Answers) -> Patch:
    told = Counter(answer for place in places for answer in answers[place])
    names = samples.names(places[:SHOWN])
    return Patch(
        number=len(places),
        known=before,
        labels=dict(told.most_common(3)),
        first=tuple(names[place] for place in places[:SHOWN]),
    )


def _windows(samples: Samples, place: int) -> np.ndarray:
    """Codes of an image's windows, uint64, each once: which of their blocks, of each channel, are lighter than the mean. A code
    survives noise and lossy compression where the window has contrast; others have none.
    """
    shard, index = samples.at(place)
    pixels = shard.arrays["image"][index][..., :3].astype(np.float32)
    blocks = _means(pixels, BLOCK)
    side = 4 if blocks.shape[2] == 3 else 7  # 48 or 49 bits
    if min(blocks.shape[:2]) < side:
        return np.zeros(0, np.uint64)
    step = max(1, min(blocks.shape[:2]) // 32)
    cells = np.lib.stride_tricks.sliding_window_view(blocks, (side, side), axis=(0, 1))[::step, ::step]
    rows = cells.reshape(-1, blocks.shape[2], side**2)
    told = rows[rows.std(2).mean(1) > CONTRAST]
    bits = (told > told.mean(2, keepdims=True)).reshape(len(told), blocks.shape[2] * side**2)[:, :64]
    weights = np.uint64(1) << np.arange(bits.shape[1], dtype=np.uint64)
    return np.unique((bits * weights).sum(1, dtype=np.uint64))


def _means(pixels: np.ndarray, side: int) -> np.ndarray:
    """Of blocks of so many pixels per side."""
    height, width = (n // side * side for n in pixels.shape[:2])
    return pixels[:height, :width].reshape(height // side, side, width // side, side, -1).mean((1, 3))
