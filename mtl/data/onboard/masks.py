"""What masks that a column or a member has may mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mtl.config import DataError
from mtl.data.maps import mask_values
from mtl.data.onboard.look import Look
from mtl.data.onboard.mask_classes import classes_of_values
from mtl.data.raw import FileRef


def mask_section(look: Look, masks: Iterable[FileRef | bytes], facts: list[str]) -> dict[str, Any]:
    """What a Column has to say of masks, and in facts what a person may want to know; nothing if their values say nothing."""
    try:
        read = [look.place.read(mask.name) if isinstance(mask, FileRef) else mask for mask in masks]
        found = classes_of_values(look, {f"mask {place}": mask_values(data) for place, data in enumerate(read)})
    except DataError as error:
        facts.append(error.line)
        return {}
    facts += found.facts
    return found.section
