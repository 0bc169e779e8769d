"""The sections of pairs: a set for each pair of folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from mtl.data.onboard.look import Look, Section, identifier
from mtl.data.onboard.map_words import MASK
from mtl.data.onboard.pair_choice import files_of
from mtl.data.onboard.pair_layouts import Pairs
from mtl.errors import DataError

MANY = 50
"""Files that a section may leave out one by one."""


def target_name(subject: str, usual: str, number: int) -> str:
    """A name for what maps are of; of a single target the usual one."""
    own = "_".join(word for word in subject.split("_") if word and word not in MASK)
    return usual if number == 1 else identifier(own or subject or usual)


def sections(
    look: Look,
    form: Literal["mask_pairs", "depth_pairs"],
    some_pairs: Sequence[Pairs],
    target: str,
    more: Mapping[str, object],
) -> dict[str, Section]:
    """Name → section, of all pairs of one target.

    Args:
        more: what all of them say besides.

    Raises:
        DataError: maps of several sets lie in one folder, and are too many to be named.
    """
    kind = form.removesuffix("_pairs")
    plain = f"{kind}s" if target in ("regions", "depth") else target
    sets: dict[str, Section] = {}
    for pairs in some_pairs:
        section: Section = {
            "path": look.tree.path,
            "format": form,
            "images": pairs.images,
            f"{kind}s": pairs.maps,
        }
        section |= {"image_name": pairs.image_name} if pairs.image_name != "{}" else {}
        section |= {f"{kind}_name": pairs.map_name} if pairs.map_name != "{}" else {}
        alone = len(some_pairs) == 1
        section |= {"id_prefix": f"{pairs.images}/"} if not alone and pairs.images else {}
        name = plain if alone else identifier(f"{pairs.images}_{plain}")
        while name in sets:
            name += "_more"
        theirs = [one for one in some_pairs if one is not pairs and _maps(one) == _maps(pairs)]
        section |= {"ignore": _of_others(pairs, theirs)} if theirs else {}
        sets[name] = {**section, **more}
    return sets


def _maps(pairs: Pairs) -> tuple[str, str]:
    return pairs.maps, pairs.map_name


def _of_others(pairs: Pairs, theirs: Sequence[Pairs]) -> list[str]:
    """Patterns of maps that are called as these are, and whose images another set has.

    Raises:
        DataError: they lie among these.
    """
    own = {name.rpartition("/")[0] for name in pairs.map_files}
    files = files_of(theirs)
    folders = {name.rpartition("/")[0] for name in files}
    if not own & folders:
        return sorted(f"/{folder}/" for folder in folders)
    if len(files) > MANY:
        where = f"{pairs.maps} are of {pairs.images} and of {theirs[0].images}"
        raise DataError(f"the masks of {where}", fix="put them into a folder each")
    return sorted(f"/{name}" for name in files)
