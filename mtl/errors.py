"""What can be wrong, as types.

MtlError                 every error that a user can mend; the CLI prints it without a traceback
├── ConfigError          params.yaml is wrong: all problems at once
├── DataError            a source, an image or a shard is missing, damaged or contradictory
├── TrainingError        training cannot go on: non-finite loss, no disk, out of memory
├── StageError           a stage's process failed; carries its exit code
├── SealError            what came back from a bucket was not written by this run
├── RegistryError        the registry refused or is out of reach
│   └── GoneError        something in it was deleted or renamed by other means than this program
└── BusyError            somebody else holds the checkout or the port
"""

from __future__ import annotations

from collections.abc import Mapping

from mtl.output.terminal import harmless


class MtlError(Exception):
    """An error with a message of three parts: what happened, what was found, how to fix it. None of them holds a secret, or
    what a terminal obeys.
    """

    def __init__(self, what: str, *, found: str = "", fix: str = "") -> None:
        self.what, self.found, self.fix = harmless(what), harmless(found), harmless(fix)
        lines = [self.what]
        if found:
            lines.append(f"  found: {self.found}")
        if fix:
            lines.append(f"  fix:   {self.fix}")
        super().__init__("\n".join(lines))

    @property
    def line(self) -> str:
        """The message in one line, for reports."""
        return str(self).replace("\n", ";")

    @property
    def document(self) -> dict[str, str]:
        """It as JSON, for another process: `raised_elsewhere` makes the error again."""
        return {"kind": type(self).__name__, "what": self.what, "found": self.found, "fix": self.fix}

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling that Ray uses for errors.
        return (_rebuild, (type(self), self.what, self.found, self.fix))


def gist(line: str) -> str:
    """What happened, of an error in one line."""
    return line.split(";")[0]


def raised_elsewhere(document: Mapping[str, object]) -> MtlError:
    """The error of a `document`, of the class that it had; one that is not of this module is an MtlError."""
    kind = globals().get(str(document["kind"]))
    kind = kind if isinstance(kind, type) and issubclass(kind, MtlError) else MtlError
    return _rebuild(kind, *(str(document[part]) for part in ("what", "found", "fix")))


def _rebuild(kind: type[MtlError], what: str, found: str, fix: str) -> MtlError:
    return kind(what, found=found, fix=fix)


class ConfigError(MtlError):
    """params.yaml is wrong."""


class DataError(MtlError):
    """A source, an image or a shard is missing, damaged or contradictory."""


class TrainingError(MtlError):
    """Training cannot go on."""


class StageError(MtlError):
    """A stage's process failed."""


class SealError(MtlError):
    """What lies in a bucket was not written by this run."""


class RegistryError(MtlError):
    """The registry refused or is out of reach."""


class GoneError(RegistryError):
    """Something in the registry was deleted or renamed by other means than this program; trying again is in vain."""


class BusyError(MtlError):
    """Somebody else holds the checkout or the port."""
