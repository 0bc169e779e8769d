"""What reaches a terminal or a log: no secrets, and no characters that a terminal obeys but those that colour a line.

Names of files, classes and tasks are what somebody else wrote; a name can hold an escape sequence that moves the cursor, sets
the clipboard or hides what stands beside it.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import TextIO, cast

from mtl.output.redaction import redact

_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tab and newline, those that change the direction of writing, and bytes of names that are no UTF-8."""
_COLOUR = re.compile(
    r"\x1b\[(?:(?:[0-4]|2[1-4]|3[0-7]|39|4[0-7]|49|9[0-7]|10[0-7]|[34]8;5;\d+|[34]8;2;\d+;\d+;\d+)(?:;|(?=m)))*m"
)


def plain(text: str) -> str:
    r"""The text with what a terminal obeys written out, as in `\x1b`."""
    return _OBEYED.sub(_written_out, text)


def one_line(text: str) -> str:
    """`plain`, and in one line: a name cannot add lines of its own."""
    return plain(text).replace("\n", "\\n")


def harmless(text: str) -> str:
    """`plain`, and without secrets."""
    return plain(redact(text))


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class Guarded:
    """A text stream that writes what is harmless. Colours of our own pass where a terminal shows them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As of a text stream."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - click asks in this way
            raise TypeError("write() argument must be str")
        start = len(text) - len(text.lstrip("\r\n"))  # progress bars begin with a carriage return
        self._stream.write(text[:start] + self._cleaned(redact(text[start:])))
        return len(text)

    def _cleaned(self, text: str) -> str:
        text = text.replace("\r\n", "\n")
        if "\x1b" not in text or not self._stream.isatty():
            return plain(_COLOUR.sub("", text))
        pieces = _COLOUR.split(text)
        colours = [*_COLOUR.findall(text), ""]
        return "".join(plain(piece) + colour for piece, colour in zip(pieces, colours, strict=True))

    def writelines(self, lines: list[str]) -> None:
        """As of a text stream."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def reveal(line: str) -> None:
    """Print a line with a secret that whoever reads this terminal is to have: its own password, in an address that logs in."""
    print(plain(line), file=unguarded(sys.stdout), flush=True)


def unguarded(stream: TextIO) -> TextIO:
    """A stream as it was before it was guarded, for who cleans what he writes."""
    return stream._stream if isinstance(stream, Guarded) else stream  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def guard() -> None:
    """Let this process's standard streams and its log write what is harmless."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Guarded):
            setattr(sys, name, cast(TextIO, Guarded(stream)))
    guard_log()


def guard_log() -> None:
    """Let what this process logs be harmless, whoever handles it."""
    before = logging.getLogRecordFactory()
    if getattr(before, "guarded", False):
        return

    def make(*words: object, **more: object) -> logging.LogRecord:
        record = before(*words, **more)
        try:
            said = record.getMessage()
        except Exception:  # a wrong format: logging says so itself
            return record
        if (clean := harmless(said)) != said:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = harmless("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        return record

    make.guarded = True  # pyright: ignore[reportFunctionMemberAccess]
    logging.setLogRecordFactory(make)
