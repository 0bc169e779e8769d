"""What of newly arrived images looks as if somebody wanted a model to learn it: one patch in many images, and labels that
contradict what looks the same.

It knows pixels alone, no model's features: a patch is found where its pixels are much the same in many images, wherever it lies
(by odd and even pixels apart); a pattern that is blended over whole images, that is turned or scaled from image to image, or
that the eye does not see, is not. What is found is said, never removed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mtl.data.inspect.near_duplicates import NearCopies
from mtl.data.inspect.report import Conflict, Patch, Suspects
from mtl.data.kinds import KINDS
from mtl.data.loading.loader import Split
from mtl.data.shards.manifest import Manifest
from mtl.data.spec import SPLITS

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


def suspects(prepared: Path, manifest: Manifest, copies: NearCopies, known: frozenset[str]) -> Suspects:
    """Near duplicates of which one has arrived, with different labels; and windows that many arrivals share.

    Args:
        known: digests (`Split.digests`) of samples that were there before; empty: all have arrived.
    """
    splits = {name: Split(prepared, name) for name in SPLITS if manifest.num_samples(name)}
    arrived = {name: np.array([digest not in known for digest in split.digests()]) for name, split in splits.items()}
    labels = [name for name, target in manifest.spec.targets.items() if KINDS[target.kind].exclusive]
    answers = {name: _answers(split, labels) for name, split in splits.items()}
    new, old = _looked_at(splits, arrived, True), _looked_at(splits, arrived, False)
    return Suspects(
        num_arrived=int(sum(marks.sum() for marks in arrived.values())),
        num_looked_at=len(new),
        conflicts=tuple(_conflicts(splits, arrived, answers, copies)),
        patches=tuple(_patches(splits, new, old, answers)),
    )


Place = tuple[str, int]
"""Split and index."""
Answers = list[tuple[str, ...]]
"""Labels of each sample, as `target class`."""


def _answers(split: Split, labels: Sequence[str]) -> Answers:
    """The labels of each sample, of those targets that it has."""
    found: list[list[str]] = [[] for _ in split.ids]
    for start in range(0, len(split), 512) if labels else ():
        indices = np.arange(start, min(start + 512, len(split)))
        rows = split.rows(indices)
        for name in labels:
            classes = split.spec.targets[name].classes
            for i in np.flatnonzero(rows[f"{name}.present"]).tolist():
                found[start + i].append(f"{name} {classes[int(rows[name][i])]}")
    return [tuple(one) for one in found]


def _conflicts(
    splits: dict[str, Split], arrived: dict[str, np.ndarray], answers: dict[str, Answers], copies: NearCopies
) -> Iterator[Conflict]:
    """Near duplicates of which one has arrived, with another label of one target."""
    at = {(name, found): i for name, split in splits.items() for i, found in enumerate(split.ids)}
    for pair in copies.pairs:
        places = [(split, at[split, found]) for split, found in pair]
        one, other = ({a.split(" ")[0]: a for a in answers[split][i]} for split, i in places)
        differing = [name for name in one.keys() & other.keys() if one[name] != other[name]]
        if differing and any(arrived[split][i] for split, i in places):
            yield Conflict(images=pair, labels=tuple((one[n], other[n]) for n in sorted(differing)))


def _looked_at(splits: dict[str, Split], arrived: dict[str, np.ndarray], wanted: bool) -> list[Place]:
    found: list[Place] = []
    for name in splits:
        chosen = np.flatnonzero(arrived[name] == wanted)
        some = np.unique(np.linspace(0, len(chosen) - 1, min(MOST, len(chosen))).astype(int)) if len(chosen) else []
        found += [(name, int(chosen[i])) for i in some]
    return found


def _patches(splits: dict[str, Split], new: list[Place], old: list[Place], answers: dict[str, Answers]) -> list[Patch]:
    """Windows that many arrivals have and few known images; those of one set of images together, the largest set first."""
    codes = [_windows(splits[split], i) for split, i in new]
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
    for split, i in old if len(shared) else ():
        before.update(np.intersect1d(_windows(splits[split], i), shared).tolist())
    found: list[tuple[set[int], int]] = []
    for code, numbers in sorted(having.items(), key=lambda one: (-len(one[1]), one[0])):
        if not _suspicious(numbers, before[code], new, old, answers):
            continue
        mine = set(numbers)
        if all(len(mine & images) < 0.5 * len(mine) for images, _ in found):
            found.append((mine, before[code]))
    return [_described(sorted(images), number, splits, new, answers) for images, number in found[:SHOWN]]


def _suspicious(
    numbers: list[int], before: int, new: list[Place], old: list[Place], answers: dict[str, Answers]
) -> bool:
    """Whether a window goes with one label, and is so much rarer among known images, or where there are none among arrivals
    without that label, that it is no common motif.
    """
    told = Counter(answer for n in numbers for answer in answers[new[n][0]][new[n][1]])
    main, count = told.most_common(1)[0] if told else ("", 0)
    if told and count < ONE_LABEL * len(numbers):
        return False
    if old:
        return len(numbers) / len(new) > RARER * (before + 1) / (len(old) + 1)
    others = sum(main not in answers[split][i] for split, i in new)
    if not told or not others:
        return False
    return count / (len(new) - others) > RARER * (len(numbers) - count + 1) / (others + 1)


def _described(
    numbers: list[int], before: int, splits: dict[str, Split], new: list[Place], answers: dict[str, Answers]
) -> Patch:
    places = [new[n] for n in numbers]
    told = Counter(answer for split, i in places for answer in answers[split][i])
    return Patch(
        number=len(places),
        known=before,
        labels=dict(told.most_common(3)),
        first=tuple((split, splits[split].ids[i]) for split, i in places[:SHOWN]),
    )


def _windows(split: Split, index: int) -> np.ndarray:
    """Codes of an image's windows, uint64, each once: which of their blocks, of each channel, are lighter than the mean. A code
    survives noise and lossy compression where the window has contrast; others have none.
    """
    pixels = split.rows(np.array([index]))["image"][0][..., :3].astype(np.float32)
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
