"""Pairs of images and masks: which classes the masks of each target have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from mtl.data.formats.label_files import Label, label_files
from mtl.data.onboard.look import Finding, Look, Section
from mtl.data.onboard.looked_masks import Classes, look_into
from mtl.data.onboard.map_words import MASK
from mtl.data.onboard.mask_classes import classes_of_masks
from mtl.data.onboard.painted import painted_values
from mtl.data.onboard.pair_choice import Choice, files_of
from mtl.data.onboard.pair_layouts import Pairs
from mtl.data.onboard.pair_looks import other_sizes
from mtl.data.onboard.pair_sections import sections, target_name
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError


def masks_of(look: Look, choice: Choice) -> list[Finding]:
    """One finding of all masks; one with a fault if none of their targets has classes that can be told."""
    labels = {f: found for f, found in label_files(look.tree).items() if f not in look.claimed} if choice.masks else {}
    sets: dict[str, Section] = {}
    facts: list[str] = []
    faults: list[str] = []
    evidence = frozenset[str]()
    for subject, some_pairs in choice.masks.items():
        target = target_name(subject, "regions", len(choice.masks))
        evidence |= files_of(some_pairs)
        try:
            if fault := other_sizes(look, some_pairs):
                raise DataError(fault)
            classes = _classes(look, some_pairs, choice, labels)
        except DataError as error:
            faults.append(f"{some_pairs[0].maps or some_pairs[0].map_name}: {error.line}")
            continue
        facts += [f"{target}: {fact}" for fact in classes.facts]
        more = {"target": target} if target != "regions" else {}
        sets |= sections(look, "mask_pairs", some_pairs, target, {**classes.section, **more})
    if sets:
        facts += [f"not read: {fault}" for fault in faults]
        return [Finding("mask_pairs", sets, evidence | labels.keys(), tuple(facts))]
    return [Finding("mask_pairs", evidence=evidence, fault="; ".join(faults))] if faults else []


def _classes(look: Look, pairs: Sequence[Pairs], choice: Choice, labels: Mapping[str, list[Label]]) -> Classes:
    """What the masks of one target mean.

    Raises:
        DataError: nobody can tell.
    """
    looked = look_into(look.tree, [FileRef(name) for name in sorted(files_of(pairs))])
    twins = {image: map_file for one, _ in choice.others if one.kind == "picture" for image, map_file in one.files}
    both = [(map_file, twins[image]) for one in pairs for image, map_file in one.files if image in twins]
    painted = painted_values(look.tree, both) if both and not looked.coloured else {}
    if not labels:
        return classes_of_masks(looked, painted=painted)
    found: dict[str, Classes] = {}
    errors: list[DataError] = []
    for file in _in_order(labels, pairs, len(choice.masks)):
        try:
            found[file] = classes_of_masks(looked, labels[file], file, painted)
        except DataError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    first = next(iter(found.values()))
    others = [file for file, classes in found.items() if classes.section != first.section]
    return Classes(first.section, [*first.facts, *(f"{file} says otherwise, and is not read" for file in others)])


def _in_order(labels: Mapping[str, list[Label]], pairs: Sequence[Pairs], targets: int) -> list[str]:
    """Files that name classes, the likeliest first: one whose name has a word of the masks', as config_v2.0.json and v2.0/labels; of
    several targets, one in a folder of theirs; one with colours, which are of masks alone; else the nearest to the root.
    """
    parts = {part.lower() for one in pairs for part in one.maps.split("/") if part}

    def rank(file: str) -> tuple[bool, bool, bool]:
        path = PurePosixPath(file.lower())
        is_named = any(part in path.name for part in parts - MASK)
        is_beside = targets > 1 and bool(parts & {*path.parts[:-1]})
        return not is_named, not is_beside, not any(label.colour for label in labels[file])

    return sorted(labels, key=rank)
