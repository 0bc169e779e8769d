"""Names that others may have chosen: refused where, as paths, they would lead out of their place."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from mtl.errors import DataError

FIX = "nothing was read or written there; look who writes to this place, and remove it"


def checked_name(name: str, where: str) -> str:
    """The name of a file below a place, as it is.

    Raises:
        DataError: as a path it would lead out of the place, on this system or another: it is absolute, or has `..`, an
            empty part, a drive, a backslash or a NUL.
    """
    odd = "\\" in name or "\0" in name or bool(PureWindowsPath(name).anchor)
    if odd or any(part in ("", ".", "..") for part in name.split("/")):
        raise DataError(f"a name in {where} is not one of a file below it", found=repr(name)[:300], fix=FIX)
    return name


def confined(path: Path, folder: Path) -> None:
    """Follow the links of a path below a folder.

    Raises:
        DataError: they lead out of it.
    """
    if not (real := path.resolve()).is_relative_to(folder.resolve()):
        raise DataError(f"a link leads out of {folder}", found=f"{path} is {real}", fix=FIX)
