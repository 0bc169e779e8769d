"""The tables of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from mtl.data.formats.sheet import Options
from mtl.data.formats.sheet_files import parsed
from mtl.data.onboard.look import Look, some
from mtl.data.onboard.table_images import Candidate, ImageNames, has_suffix
from mtl.errors import DataError

SUFFIXES = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".jsonl", ".ndjson", ".json")


def candidates(look: Look) -> Iterator[Candidate | tuple[str, str]]:
    """Tables; of a file that names images and cannot be read, it and the reason."""
    files = look.unclaimed(*SUFFIXES)
    names = ImageNames(look) if files else None
    for file in files:
        if file.lower().endswith(".json") and not _is_list(look.json(file)):
            continue
        try:
            candidate = _read(look, file)
        except DataError as error:
            if _mentions_images(look, file):
                yield file, error.line
            continue
        assert names is not None
        try:
            names.choose(candidate)
        except DataError as error:
            yield file, error.line
            continue
        yield candidate


def _is_list(document: object) -> bool:
    return isinstance(document, list) and bool(document) and all(isinstance(item, dict) for item in document)


def _read(look: Look, file: str) -> Candidate:
    """A table in UTF-8, or in Latin letters of one byte, which is said."""
    data, settings, facts = look.tree.read(file), dict[str, Any](), list[str]()
    try:
        sheet = parsed(data, file, Options())
    except DataError:
        encoding = _legacy_encoding(data)
        if encoding is None:
            raise
        sheet = parsed(data, file, Options(encoding=encoding))
        settings["encoding"] = encoding
        shown = next(re.finditer(r"\w*[^\W\x00-\x7f]\w*", data.decode(encoding)))[0]
        facts.append(f"{file} is not UTF-8; read as {encoding} it says {shown}: if that is wrong, correct `encoding`")
    if sheet.unit == "line" and file.lower().endswith((".csv", ".tsv", ".tab")) and _is_row(sheet.columns):
        sheet = parsed(data, file, Options(encoding=settings.get("encoding", ""), header=False))
        settings["header"] = False
        facts.append(f"{file} has no line of names: its columns are 1, 2, 3 …")
    return Candidate(file, sheet, settings, facts)


def _legacy_encoding(data: bytes) -> str | None:
    """latin-1, or Windows' relative of it, if all that is not ASCII reads as letters within Latin words; other encodings of one
    byte cannot be told from each other.
    """
    encoding = "cp1252" if any(0x80 <= byte < 0xA0 for byte in data) else "latin-1"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    runs = re.findall(r"([A-Za-z]?)([^\x00-\x7f]+)([A-Za-z]?)", text)
    fits = all(len(run) <= 2 and run.isalpha() and (before or after) for before, run, after in runs)
    return encoding if runs and fits and "\0" not in text else None


def _is_row(header: Sequence[str]) -> bool:
    """Whether a first line names an image, as only a row does."""
    return any(has_suffix(cell) for cell in header)


def _mentions_images(look: Look, file: str) -> bool:
    """Whether the bytes of a file that cannot be read have names of images in them."""
    try:
        data = look.tree.read(file)
    except DataError:
        return False
    return any(PurePosixPath(name).name.encode() in data for name in some(look.images))
