"""Which images a JSON document names: our own form, and those of MLflow's scoring protocol."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from mtl.serving.limits import FIX, Limits, Refused

PARTS = 1000
"""Of a document, at most: commas, brackets."""
FORMS = ("images", "instances", "inputs", "dataframe_split", "dataframe_records")
COLUMN = "image"
"""Of a data frame, as the model's signature has it; `b64` inside says that a text is base64, as TensorFlow's servers have it."""
_SPACE = str.maketrans("", "", " \t\r\n")


def images_of_json(body: bytes, limits: Limits) -> list[bytes]:
    """The encoded images of a document.

    Raises:
        Refused: it is none of the forms, or has too many images or none, or one that is not base64.
    """
    # Counted before it is parsed, which nothing can interrupt; base64 has none of these characters.
    parts = max(body.count(mark) for mark in (b",", b"[", b"{", b":"))
    if parts > PARTS:
        raise Refused(413, "too many images, or none", found=f"{parts} parts", fix=f"1 to {limits.images}")
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is not JSON", found=str(error)[:200], fix=FIX) from error
    images = _listed(document)
    if not 1 <= len(images) <= limits.images:
        status = 413 if images else 400
        raise Refused(status, "too many images, or none", found=str(len(images)), fix=f"1 to {limits.images}")
    return [_decoded(index, image) for index, image in enumerate(images)]


def _listed(document: Any) -> list[Any]:
    """The images of a document, not yet decoded."""
    forms = [form for form in FORMS if isinstance(document, dict) and form in document]
    others = set(document) - {*forms, "params"} if isinstance(document, dict) else set[str]()
    if len(forms) != 1 or others or (isinstance(document, dict) and document.get("params")):
        found = f"keys {sorted(map(str, document))[:5]}" if isinstance(document, dict) else type(document).__name__
        raise Refused(400, "the body has no list `images`, or more than it", found=found[:200], fix=FIX)
    content = document[forms[0]]
    if forms[0] == "dataframe_split":
        content = _column(content)
    elif isinstance(content, dict) and set(content) == {COLUMN}:  # `inputs` by the names of columns
        content = content[COLUMN]
    if not isinstance(content, list):
        what = f"`{forms[0]}` is no list of images"
        raise Refused(400, what, found=type(content).__name__, fix=FIX)
    return content


def _column(frame: Any) -> Any:
    """The column `image` of a data frame as pandas splits it."""
    columns, rows = (frame.get("columns"), frame.get("data")) if isinstance(frame, dict) else (None, None)
    if columns != [COLUMN] or not isinstance(rows, list) or not all(isinstance(r, list) and len(r) == 1 for r in rows):
        found = f"columns {columns!r}"[:200]
        raise Refused(400, f"`dataframe_split` has another column than `{COLUMN}`", found=found, fix=FIX)
    return [row[0] for row in rows]


def _decoded(index: int, image: object) -> bytes:
    for key in (COLUMN, "b64"):
        if isinstance(image, dict) and set(image) == {key}:
            image = image[key]
    if isinstance(image, list) and len(image) == 1:  # a row of one column
        image = image[0]
    try:
        if not isinstance(image, str):
            raise ValueError(f"it is {type(image).__name__}")
        return base64.b64decode(image.translate(_SPACE), validate=True)  # `base64` breaks lines
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"image {index} is not base64", found=str(error)[:200], fix=FIX) from error
