"""XML of annotation tools: in the encoding that it declares, without entities."""

from __future__ import annotations

import codecs
import math
import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mtl.data.formats.text import decoded, plain
from mtl.errors import DataError

_DECLARATION = re.compile(r"\s*<\?xml[^>]*?\?>")
_ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")


def parsed(data: bytes) -> Element:
    """The root of an XML document.

    Raises:
        DataError: it is none, is in another encoding than it says, or defines entities.
    """
    text = _text(data)
    if "<!ENTITY" in text:
        raise DataError("the XML defines entities", fix="annotations need none; such files can be bombs")
    try:
        return ElementTree.fromstring(_DECLARATION.sub("", text, count=1))
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise DataError("it is not XML", found=str(error)) from error


def _text(data: bytes) -> str:
    """By a mark at the beginning; else as the declaration says: Python knows more encodings than its XML parser."""
    found = _ENCODING.match(data.lstrip())
    if found is None or data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return decoded(data)
    encoding = found[1].decode()
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "ucs")):
        raise DataError(f"the XML says that it is {encoding}, and is not", fix="save it as UTF-8")
    try:
        return decoded(data, encoding)
    except UnicodeError as error:  # of codecs that are no character sets
        raise DataError(f"the XML is not {encoding}", found=str(error)) from error


def text_of(item: Element, tag: str) -> str:
    """The words in a child, without spaces around them; nothing if there is none."""
    return plain(item.findtext(tag) or "")


def child_number(item: Element, tag: str) -> float:
    """The number in a child.

    Raises:
        DataError: there is none.
    """
    return _finite(text_of(item, tag), tag)


def attribute_number(item: Element, name: str) -> float:
    """The number in an attribute.

    Raises:
        DataError: there is none.
    """
    return _finite(item.get(name, ""), name)


def _finite(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(f"{what} is no number", found=repr(text[:40])) from error
    if not math.isfinite(value):
        raise DataError(f"{what} is not finite", found=repr(text[:40]))
    return value
