"""Pairs of images and maps: masks and depths, and what else lies beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from pathspec import PathSpec

from mtl.config import DataError
from mtl.data.formats.label_files import Label, label_files
from mtl.data.maps import decode_depth
from mtl.data.onboard.look import Finding, Look, identifier, some
from mtl.data.onboard.map_words import MASK, map_kind
from mtl.data.onboard.mask_classes import Classes, classes_of_masks, look_into
from mtl.data.onboard.painted import painted_values
from mtl.data.onboard.pair_choice import Choice, chosen
from mtl.data.onboard.pair_layouts import Pairs, Stranger, pairs_in
from mtl.data.onboard.side_by_side import side_by_side
from mtl.data.place import IMAGES
from mtl.data.raw import FileRef

OTHERS = ("*_polygons.json",)
"""Further files of each image, whose masks say the same."""
ARRAYS = (".npy", ".npz", ".exr", ".pfm", ".mat", ".nii", ".gz", ".dcm", ".h5", ".hdf5", ".flo")
"""Extensions of maps that are not read."""
KITTI_DEPTH = re.compile(r"proj_depth|drive_\d{4}_sync|kitti", re.IGNORECASE)
MANY = 50
"""Files that a section may leave out one by one."""


def detect(look: Look) -> Iterator[Finding]:
    """A finding of masks and one of depths, each with a set for every pair of folders; or what is wrong with what looks like them."""
    names = look.unclaimed(*IMAGES)
    if not names:
        return
    found, strangers = pairs_in(names)
    found = [pairs for pairs in found if not _are_photographs(look, pairs)] or side_by_side(look, names)
    choice = chosen(found)
    if choice.faults:
        yield from _refused(look, "mask_pairs", [(one.maps, one.map_files) for one in found], choice.faults[0])
        return
    findings = [*_masks(look, choice), *_depths(look, choice)]
    good = [finding for finding in findings if not finding.fault]
    faults = [(finding.format, finding.fault) for finding in findings if finding.fault]
    if good:
        more = [*(f"{form}, not read: {fault}" for form, fault in faults), *choice.doubts]
        yield from _with_others(look, good, choice, names, more)
    elif faults:
        yield from _refused(look, faults[0][0], [(one.maps, one.map_files) for one in found], faults[0][1])
    else:
        yield from _nothing(look, choice, strangers)


def _refused(look: Look, form: str, maps: Iterable[tuple[str, frozenset[str]]], why: str) -> Iterator[Finding]:
    """A fault, unless something else was found, which can be used without these.

    Args:
        maps: folders, all of whose pictures are meant; and files.
    """
    folders = {folder for folder, _ in maps if folder}
    inside = {name for name in look.unclaimed(*IMAGES) for folder in folders if _inside(name.split("/")[:-1], folder)}
    evidence = frozenset(inside).union(*(files for _, files in maps))
    if look.taken:
        yield Finding(form, evidence=evidence, facts=(f"{form}, not read: {why}",))
    else:
        yield Finding(form, evidence=evidence, fault=why)


def _files(found: Iterable[Pairs]) -> frozenset[str]:
    return frozenset[str]().union(*(pairs.map_files for pairs in found))


def _are_photographs(look: Look, pairs: Pairs) -> bool:
    """Whether most maps have more colours than anybody draws, where images do not lie in a folder that is called so: classes are
    called mask or label too."""
    if pairs.kind not in ("mask", "picture", "second", "edge") or (pairs.is_named and "/" not in pairs.maps.strip("/")):
        return False
    looked = [_is_photograph(look, name) for name in some(sorted(pairs.map_files))[:16]]
    return 2 * sum(looked) > len(looked)


def _is_photograph(look: Look, name: str) -> bool:
    from mtl.data.maps import MAX_VALUES, mask_values

    try:
        found = mask_values(look.place.read(name))
    except DataError:
        return False
    return found.kind == "colour" and found.num_values > MAX_VALUES


def _masks(look: Look, choice: Choice) -> list[Finding]:
    """One of all masks; one with a fault if none of their targets has classes that can be told."""
    labels = {f: found for f, found in label_files(look.place).items() if f not in look.claimed} if choice.masks else {}
    sets: dict[str, dict[str, Any]] = {}
    facts: list[str] = []
    faults: list[str] = []
    evidence = frozenset[str]()
    for subject, some_pairs in choice.masks.items():
        target = _target(subject, "regions", len(choice.masks))
        try:
            classes = _classes(look, some_pairs, choice, labels, len(choice.masks))
        except DataError as error:
            faults.append(f"{some_pairs[0].maps or some_pairs[0].map_name}: {error.line}")
            evidence |= _files(some_pairs)
            continue
        facts += [f"{target}: {fact}" for fact in classes.facts]
        evidence |= _files(some_pairs)
        more = {"target": target} if target != "regions" else {}
        sets |= _sections(look, "mask_pairs", some_pairs, target, classes.section | more)
    if sets:
        facts += [f"not read: {fault}" for fault in faults]
        return [Finding("mask_pairs", sets, evidence | labels.keys(), tuple(facts))]
    return [Finding("mask_pairs", evidence=evidence, fault="; ".join(faults))] if faults else []


def _target(subject: str, usual: str, number: int) -> str:
    """A name for what maps are of; of a single target the usual one."""
    own = "_".join(word for word in subject.split("_") if word and word not in MASK)
    return usual if number == 1 else identifier(own or subject or usual)


def _classes(
    look: Look, pairs: Sequence[Pairs], choice: Choice, labels: Mapping[str, list[Label]], targets: int
) -> Classes:
    """What the masks of one target mean.

    Raises:
        DataError: nobody can tell.
    """
    files = sorted(_files(pairs))
    looked = look_into(look.place, [FileRef(name) for name in files])
    twins = {image: map_file for one, _ in choice.others if one.kind == "picture" for image, map_file in one.files}
    both = [(map_file, twins[image]) for one in pairs for image, map_file in one.files if image in twins]
    painted = painted_values(look.place, both) if both and not looked.coloured else {}
    file = _nearest(labels, pairs, targets)
    return classes_of_masks(looked, labels.get(file), file, painted)


def _nearest(labels: Mapping[str, list[Label]], pairs: Sequence[Pairs], targets: int) -> str:
    """The file that names the classes of some masks: of several, one whose name has a word of theirs, as config_v2.0.json and v2.0/labels;
    else the nearest to the root."""
    parts = {part.lower() for one in pairs for part in one.maps.split("/") if part}
    named = [file for file in labels if any(part in PurePosixPath(file).name.lower() for part in parts - MASK)]
    beside = [file for file in labels if parts & {part.lower() for part in PurePosixPath(file).parts[:-1]}]
    return next(iter([*named, *(beside if targets > 1 else []), *labels]), "")


def _depths(look: Look, choice: Choice) -> list[Finding]:
    """One of all depths."""
    sets: dict[str, dict[str, Any]] = {}
    facts: list[str] = []
    every = _files(one for some_pairs in choice.depths.values() for one in some_pairs)
    for subject, some_pairs in choice.depths.items():
        target = _target(subject.replace("depths", "").replace("depth", ""), "depth", len(choice.depths))
        files = sorted(_files(some_pairs))
        scale = (
            1 / 256 if all(KITTI_DEPTH.search(name) for name in (look.place.path + "/" + f for f in files)) else 0.001
        )
        seen = _distances(look, files, scale)
        if isinstance(seen, DataError):
            return [Finding("depth_pairs", evidence=every, fault=f"{files[0]} and others: {seen.line}")]
        what = "1/256 m, as in KITTI" if scale != 0.001 else "a millimetre, as in most sensors' files"
        facts.append(f"{target}: a step is taken for {what}: then they are {seen}; if that is wrong, correct `scale`")
        section = {"scale": scale} if scale != 0.001 else {}
        section |= {"target": target} if target != "depth" else {}
        sets |= _sections(look, "depth_pairs", some_pairs, target, section)
    return [Finding("depth_pairs", sets, every, tuple(facts))] if sets else []


def _distances(look: Look, files: Sequence[str], scale: float) -> str | DataError:
    """From where to where some depths reach; or why they are none."""
    import numpy as np

    seen: list[tuple[float, float]] = []
    for name in some(files)[:16]:
        try:
            depth = decode_depth(look.place.read(name), scale)
        except DataError as error:
            return error
        if np.isfinite(depth).any():
            seen.append((float(np.nanmin(depth)), float(np.nanmax(depth))))
    if not seen:
        return DataError("depths are not known anywhere", found="0 in every pixel")
    return f"{min(low for low, _ in seen):.3g} to {max(high for _, high in seen):.3g} m"


def _sections(
    look: Look, form: str, some_pairs: Sequence[Pairs], target: str, more: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """A set for each pair of folders."""
    sets: dict[str, dict[str, Any]] = {}
    kind = "mask" if form == "mask_pairs" else "depth"
    for pairs in some_pairs:
        section: dict[str, Any] = {
            "path": look.place.path,
            "format": form,
            "images": pairs.images,
            f"{kind}s": pairs.maps,
        }
        section |= {"image_name": pairs.image_name} if pairs.image_name != "{}" else {}
        section |= {f"{kind}_name": pairs.map_name} if pairs.map_name != "{}" else {}
        alone = len(some_pairs) == 1
        section |= {"id_prefix": f"{pairs.images}/"} if not alone and pairs.images else {}
        own = f"{target if target not in ('regions', 'depth') else kind + 's'}"
        name = own if alone else identifier(f"{pairs.images}_{own}")
        while name in sets:
            name += "_more"
        theirs = [
            one for one in some_pairs if one is not pairs and (one.maps, one.map_name) == (pairs.maps, pairs.map_name)
        ]
        section |= {"ignore": _of_others(pairs, theirs)} if theirs else {}
        sets[name] = section | more
    return sets


def _of_others(pairs: Pairs, theirs: Sequence[Pairs]) -> list[str]:
    """Patterns of maps that are called as these are, and whose images another set has.

    Raises:
        DataError: they lie among these.
    """
    own = {name.rpartition("/")[0] for name in pairs.map_files}
    files = _files(theirs)
    folders = {name.rpartition("/")[0] for name in files}
    if not own & folders:
        return sorted(f"/{folder}/" for folder in folders)
    if len(files) > MANY:
        where = f"{pairs.maps} are of {pairs.images} and of {theirs[0].images}"
        raise DataError(f"the masks of {where}", fix="put them into a folder each")
    return sorted(f"/{name}" for name in files)


def _with_others(
    look: Look, findings: Sequence[Finding], choice: Choice, names: Sequence[str], facts: Sequence[str] = ()
) -> Iterator[Finding]:
    """The findings; the first claims what lies beside and is not read, and says so."""
    read = [one for groups in (choice.masks, choice.depths) for some_pairs in groups.values() for one in some_pairs]
    used = _files(read) | frozenset[str]().union(*(pairs.image_files for pairs in read))
    patterns: list[str] = []
    more = [*facts]
    evidence = frozenset[str]()
    for pairs, why in choice.others:
        pattern = _pattern(pairs)
        if not any(PathSpec.from_lines("gitwildmatch", [pattern]).match_files(used)):
            patterns.append(pattern)
        evidence |= pairs.map_files
        more.append(f"{pattern}: {why}; not read")
    for pattern in OTHERS:
        beside = [name for name in look.unclaimed(PurePosixPath(pattern).suffix) if fnmatch(name, pattern)]
        patterns += [pattern] if beside else []
        more += [f"{pattern}: not read"] if beside else []
        evidence |= frozenset(beside)
    evidence |= _left_over(look, read, [name for name in names if name not in used | evidence], more)
    first, *rest = findings
    sets = {name: section | _ignoring(section, patterns) for name, section in first.sets.items()}
    yield Finding(first.format, sets, first.evidence | evidence, (*first.facts, *more), first.fault)
    yield from rest


def _ignoring(section: Mapping[str, Any], patterns: Sequence[str]) -> dict[str, Any]:
    every = [*dict.fromkeys([*section.get("ignore", ()), *patterns])]
    return {"ignore": every} if every else {}


def _pattern(pairs: Pairs) -> str:
    """All maps of a kind, as .gitignore has it."""
    escaped = re.sub(r"([\\*?\[\]!# ])", r"\\\1", pairs.map_name.replace("{}", "\0")).replace("\0", "*")
    if pairs.maps and pairs.map_name == "{}":
        return f"{pairs.maps}/" if "/" not in pairs.maps else f"**/{pairs.maps}/"
    return f"{escaped}.*"


def _left_over(look: Look, read: Sequence[Pairs], names: Sequence[str], facts: list[str]) -> frozenset[str]:
    """Images in folders that no set looks into."""
    if any(not pairs.images and pairs.image_name == "{}" for pairs in read):
        return frozenset()
    folders: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")[:-1]
        inside = any(_inside(parts, folder) for pairs in read for folder in (pairs.images, pairs.maps))
        if not inside:
            folders.setdefault("/".join(parts), []).append(name)
    for folder, files in [*folders.items()][:5]:
        facts.append(f"{folder or '.'} has {len(files)} pictures that have no maps: not read")
    return frozenset(name for files in folders.values() for name in files)


def _inside(parts: Sequence[str], folder: str) -> bool:
    own = folder.split("/") if folder else []
    return any([*parts[i : i + len(own)]] == own for i in range(len(parts) - len(own) + 1))


def _nothing(look: Look, choice: Choice, strangers: Sequence[Stranger]) -> Iterator[Finding]:
    """What looks like maps and is none that can be read."""
    arrays = [name for name in look.unclaimed(*ARRAYS) if map_kind(name.rpartition(".")[0]) is not None]
    if choice.others:
        pairs, reason = choice.others[0]
        maps = [(one.maps, one.map_files) for one, _ in choice.others]
        yield from _refused(look, "maps", maps, f"{pairs.maps or pairs.map_name}: {reason}")
    elif arrays:
        fix = "save masks as PNG of class indices, depths as PNG of 16 bits"
        why = f"{arrays[0]} and {len(arrays) - 1} others: maps in such files are not read; {fix}"
        yield from _refused(look, "maps", [("", frozenset(arrays))], why)
    elif choice.doubtful:
        yield from _refused(look, "maps", [(one.maps, one.map_files) for one in choice.doubtful], choice.doubts[0])
    elif strangers:
        folders = [("/".join(one.maps), frozenset[str]()) for one in strangers]
        yield from _refused(look, "maps", folders, _strange(strangers[0], look))


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
