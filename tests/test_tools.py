"""Formats of annotation tools: what people drew and said, however the tool writes it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.config import DataError
from mtl.config.files import FilesSource
from mtl.data.formats import FORMATS, Reading
from mtl.data.maps import decode_mask
from mtl.data.place import Place
from tests.test_damage import ANYTHING
from tests.tool_files import BOX, DOCUMENTS, mask, place


def read(section: dict[str, Any]) -> Reading:
    """What a set of the source holds."""
    source = FilesSource.model_validate({"type": "files", "sets": {"own": section}}, strict=False)
    chosen = source.sets["own"]
    return FORMATS[chosen.format](chosen, Place(chosen.path))


def objects(reading: Reading, number: int = 0) -> list[tuple[float | str, ...]]:
    """Class and corners of an entry's boxes."""
    classes = reading.targets["objects"].classes
    return [(classes[int(row[4])], *row[:4]) for row in reading.entries[number].targets["objects"]]


def names(reading: Reading, number: int = 0) -> np.ndarray:
    """The class of every pixel of an entry's mask."""
    classes = reading.targets["regions"].classes
    return np.array([*classes, *["?"] * (256 - len(classes))])[
        decode_mask(reading.entries[number].targets["regions"], len(classes))
    ]


@pytest.mark.parametrize("form", DOCUMENTS)
def test_the_only_object_is_read(form: str, tmp_path: Path) -> None:
    reading = read(place(tmp_path, form))
    assert not reading.problems
    (entry,) = reading.entries
    assert np.allclose([row[:4] for row in entry.targets["objects"]], [BOX])
    assert objects(reading)[0][0] == "dog"
    outlined = form not in (
        "label_studio",
        "createml",
        "via",
    )  # rectangles: of their pixels nobody knows which are the object's
    assert (names(reading) == np.where(mask(), "dog" if outlined else "?", "background")).all()


def paths(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything in a document."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [above, *(path for key, value in inside for path in paths(value, (*above, key)))]


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value somewhere."""
    if not path:
        return value
    found = copy.deepcopy(document)
    item = found
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
    return found


some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("form", DOCUMENTS)
@some
@given(data=st.data())
def test_anything_anywhere_is_read_or_explained(form: str, tmp_path: Path, data: st.DataObject) -> None:
    document = DOCUMENTS[form][1]()
    where = data.draw(st.sampled_from(paths(document)))
    section = place(tmp_path, form, changed(document, where, data.draw(ANYTHING)))
    try:
        reading = read(section)
    except DataError:
        return
    for entry in reading.entries:
        rows = np.array(entry.targets.get("objects", [])).reshape(-1, 5)
        assert np.isfinite(rows).all()
        if "regions" in entry.targets:
            decode_mask(entry.targets["regions"], len(reading.targets["regions"].classes))
