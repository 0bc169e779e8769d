"""Text files as people and tools leave them."""

from __future__ import annotations

import codecs
import re
import unicodedata

from mtl.errors import DataError

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decoded(data: bytes, encoding: str = "") -> str:
    """The text of a file: in the declared encoding; else as its byte order mark says; else UTF-8.

    Raises:
        DataError: it is in none of them. Which other one it is cannot be told: each gives other letters, and no error.
    """
    mark = next((mark for mark in MARKS if data.startswith(mark)), b"")
    try:
        text = data.decode(encoding or MARKS.get(mark, "utf-8"))
    except LookupError as error:
        raise DataError("an encoding is not known", found=repr(encoding), fix="utf-8, latin-1, gb2312, …") from error
    except UnicodeDecodeError as error:
        where = f"byte {data[error.start]:#04x} at {error.start}"
        fix = "save it as UTF-8, or declare `encoding`, e.g. latin-1, where the format has it"
        raise DataError(f"a text is not {encoding or 'UTF-8'}", found=where, fix=fix) from error
    except UnicodeError as error:  # of codecs that are none of letters
        raise DataError(f"a text is not {encoding}", found=str(error)[:120]) from error
    return text.removeprefix("\ufeff")


_AROUND = re.compile(r"^[\s\u200b-\u200d\u2060\ufeff]+|[\s\u200b-\u200d\u2060\ufeff]+$")
"""Spaces, and marks of no width, which nobody sees."""


def plain(text: str) -> str:
    """A name as it is seen: composed letters, and nothing around it. Otherwise two classes may look the same."""
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", _AROUND.sub("", text))


def lines(text: str) -> list[tuple[int, str]]:
    """Number and words of every line that has any, without spaces around them."""
    return [(number, seen) for number, line in enumerate(text.splitlines(), 1) if (seen := plain(line))]
