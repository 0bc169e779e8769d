"""Pairs of images and maps: masks and depths, and what else lies beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mtl.data.onboard.depth_pairs import depths_of
from mtl.data.onboard.look import Finding, Look
from mtl.data.onboard.map_words import NOT_READ, map_kind
from mtl.data.onboard.mask_pairs import masks_of
from mtl.data.onboard.pair_choice import Choice, chosen
from mtl.data.onboard.pair_layouts import Pairs, Stranger, pairs_in
from mtl.data.onboard.pair_looks import sorted_out
from mtl.data.onboard.pair_rest import is_inside, with_the_rest
from mtl.data.onboard.side_by_side import drawn_folders, side_by_side
from mtl.storage.file_tree import IMAGES

ARRAYS = (".npy", ".npz", ".exr", ".pfm", ".mat", ".nii", ".gz", ".dcm", ".h5", ".hdf5", ".flo")
"""Extensions of maps that are not read."""
MAPS = "maps"
"""What a finding is called of which it is not known whether they are masks or depths."""


def detect(look: Look) -> Iterator[Finding]:
    """A finding of masks and one of depths, each with a set for every pair of folders; or what is wrong with what looks like them."""
    names = look.unclaimed(*IMAGES)
    if not names:
        return
    found, strangers = pairs_in(names)
    kept, views = sorted_out(look, found)
    choice = chosen(kept or side_by_side(look, names))
    choice.others += [(pairs, NOT_READ["view"]) for pairs in views]
    if choice.faults:
        yield from _refused(look, "mask_pairs", _maps(kept), choice.faults[0])
        return
    findings = [*masks_of(look, choice), *depths_of(look, choice)]
    good = [finding for finding in findings if not finding.fault]
    faults = [(finding.format, finding.fault) for finding in findings if finding.fault]
    if good:
        more = [*(f"{form}, not read: {fault}" for form, fault in faults), *choice.doubts]
        yield from with_the_rest(look, good, choice, names, more)
    elif faults:
        yield from _refused(look, faults[0][0], _maps(kept), faults[0][1])
    else:
        yield from _nothing(look, choice, strangers)


def _maps(found: Iterable[Pairs]) -> list[tuple[str, frozenset[str]]]:
    return [(one.maps, one.map_files) for one in found]


def _refused(look: Look, form: str, maps: Iterable[tuple[str, frozenset[str]]], why: str) -> Iterator[Finding]:
    """A fault, unless something else was found, which can be used without these.

    Args:
        maps: folders, all of whose pictures are meant; and files.
    """
    folders = {folder for folder, _ in maps if folder}
    inside = {name for name in look.unclaimed(*IMAGES) for folder in folders if is_inside(name, folder)}
    evidence = frozenset(inside).union(*(files for _, files in maps))
    if look.taken:
        yield Finding(form, evidence=evidence, facts=(f"{form}, not read: {why}",))
    else:
        yield Finding(form, evidence=evidence, fault=why)


def _nothing(look: Look, choice: Choice, strangers: Sequence[Stranger]) -> Iterator[Finding]:
    """What looks like maps and is none that can be read."""
    arrays = [name for name in look.unclaimed(*ARRAYS) if map_kind(name.rpartition(".")[0]) is not None]
    if choice.others:
        pairs, reason = choice.others[0]
        yield from _refused(
            look, MAPS, _maps(one for one, _ in choice.others), f"{pairs.maps or pairs.map_name}: {reason}"
        )
    elif arrays:
        fix = "save masks as PNG of class indices, depths as PNG of 16 bits"
        why = f"{arrays[0]} and {len(arrays) - 1} others: maps in such files are not read; {fix}"
        yield from _refused(look, MAPS, [("", frozenset(arrays))], why)
    elif choice.doubtful:
        yield from _refused(look, MAPS, _maps(choice.doubtful), choice.doubts[0])
    elif strangers:
        folders = [("/".join(one.maps), frozenset[str]()) for one in strangers]
        yield from _refused(look, MAPS, folders, _strange(strangers[0], look))
    elif (drawn := drawn_folders(look)) is not None:
        images, maps = drawn
        fix = "describe them in data.source.sets as mask_pairs, with `images`, `masks` and `classes`"
        why = f"{maps} has drawings of the names that the pictures in {images} have, as masks have: {fix}"
        yield from _refused(look, MAPS, [(maps, frozenset())], why)


def _strange(stranger: Stranger, look: Look) -> str:
    images, maps = "/".join(stranger.images), "/".join(stranger.maps)
    image, own = stranger.example
    number = len([name for name in look.images if name.rpartition("/")[0] == images])
    if number and stranger.number >= 2 * number:
        return f"{maps} has {stranger.number} files for {number} images in {images}: unite the masks of one image in one file of its name"
    return (
        f"{images} and {maps} have no names in common, but for what stands before or behind them: {image} and {own}; "
        "give an image and its map one name"
    )
