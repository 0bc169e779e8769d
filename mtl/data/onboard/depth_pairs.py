"""Pairs of images and depths: what a step of a depth is."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mtl.codecs.maps import decode_depth
from mtl.codecs.rasters import read_raster
from mtl.data.onboard.look import Finding, Look, Section, some
from mtl.data.onboard.pair_choice import Choice, files_of
from mtl.data.onboard.pair_looks import LOOKED_INTO, other_sizes
from mtl.data.onboard.pair_sections import sections, target_name
from mtl.errors import DataError

KITTI = re.compile(r"proj_depth|drive_\d{4}_sync|kitti", re.IGNORECASE)
"""What paths of KITTI's depths have in them."""
KITTI_STEP, MILLIMETRE = 1 / 256, 0.001
"""Metres."""


def depths_of(look: Look, choice: Choice) -> list[Finding]:
    """One finding of all depths, if there are any."""
    sets: dict[str, Section] = {}
    facts: list[str] = []
    every = files_of(pairs for some_pairs in choice.depths.values() for pairs in some_pairs)
    for subject, some_pairs in choice.depths.items():
        target = target_name(subject.replace("depths", "").replace("depth", ""), "depth", len(choice.depths))
        files = sorted(files_of(some_pairs))
        try:
            if fault := other_sizes(look, some_pairs):
                raise DataError(fault)
            scale, what = _step(look, files)
            seen = _distances(look, files, scale)
        except DataError as error:
            return [Finding("depth_pairs", evidence=every, fault=f"{files[0]} and others: {error.line}")]
        facts.append(f"{target}: a step is taken for {what}: then they are {seen}; if that is wrong, correct `scale`")
        section: Section = {"scale": scale} if scale != MILLIMETRE else {}
        section |= {"target": target} if target != "depth" else {}
        sets |= sections(look, "depth_pairs", some_pairs, target, section)
    return [Finding("depth_pairs", sets, every, tuple(facts))] if sets else []


def _step(look: Look, files: Sequence[str]) -> tuple[float, str]:
    """Metres of a step, and what that is called: of fractions one, for they have no steps.

    Raises:
        DataError: the first cannot be read.
    """
    if read_raster(look.tree.read(files[0])).values.dtype.kind == "f":
        return 1.0, "a metre, for they are fractions"
    if all(KITTI.search(f"{look.tree.path}/{name}") for name in files):
        return KITTI_STEP, "1/256 m, as in KITTI"
    return MILLIMETRE, "a millimetre, as in most sensors' files"


def _distances(look: Look, files: Sequence[str], scale: float) -> str:
    """From where to where some depths reach.

    Raises:
        DataError: they are no depths, or not known anywhere.
    """
    seen: list[tuple[float, float]] = []
    for name in some(files)[:LOOKED_INTO]:
        depth = decode_depth(look.tree.read(name), scale)
        if np.isfinite(depth).any():
            seen.append((float(np.nanmin(depth)), float(np.nanmax(depth))))
    if not seen:
        raise DataError("depths are not known anywhere", found="0 in every pixel")
    return f"{min(low for low, _ in seen):.3g} to {max(high for _, high in seen):.3g} m"
