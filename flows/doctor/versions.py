"""Python and its packages, beside what the checkout was locked with."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from flows.doctor.findings import Said
from flows.doctor.subject import NotKnownError, Subject

LOCK, PROJECT = "requirements.lock", "pyproject.toml"
NAMED = 4
"""Packages that a line names."""
INSTALL = "make setup installs what the lock says (without make: pip install --require-hashes -r requirements.lock)"


def python(subject: Subject) -> Said:
    """One that the project is made for."""
    wanted = SpecifierSet(str(_project(subject.root).get("requires-python", "")))
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if not wanted.contains(sys.version.split()[0], prereleases=True):
        return Said("problem", f"{found}, where {wanted} is wanted", "make PYTHON=python3.11 setup, in a new .venv")
    return Said("ok", found)


def packages(subject: Subject) -> Said:
    """Installed as the lock says; a build for another device (+cu130) is the same version."""
    wanted = _locked(subject.root / LOCK)
    installed = {name: _installed(name) for name in wanted}
    absent = [name for name, number in installed.items() if number is None]
    other = [
        f"{name} {number}, not {wanted[name]}" for name, number in installed.items() if _differ(number, wanted[name])
    ]
    if absent:
        return Said(
            "problem", f"{len(absent)} of {len(wanted)} are not installed: {', '.join(absent[:NAMED])}", INSTALL
        )
    if other:
        fix = f"{INSTALL}; versions that are made meanwhile are recorded with a lock that they were not made with"
        return Said("warning", f"{len(other)} of {len(wanted)} are others: {', '.join(other[:NAMED])}", fix)
    return Said("ok", f"{len(wanted)} as {LOCK} says")


def pins(subject: Subject) -> Said:
    """Those without which something stops and does not say so: Prefect with a newer FastAPI or SQLAlchemy."""
    broken: list[str] = []
    wanted = [Requirement(text) for text in _project(subject.root).get("dependencies", [])]
    for one in wanted:
        found = _installed(one.name)
        if (
            (one.marker is None or one.marker.evaluate())
            and found
            and not one.specifier.contains(found, prereleases=True)
        ):
            broken.append(f"{one.name} {found}, not {one.specifier}")
    if broken:
        return Said(
            "problem", ", ".join(broken[:NAMED]), f"{INSTALL}; why they are pinned: docs/decisions/0002-pins.md"
        )
    return Said("ok", f"{len(wanted)} kept")


def _project(root: Path) -> dict[str, list[str]]:
    try:
        return tomllib.loads((root / PROJECT).read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise NotKnownError(f"{PROJECT} cannot be read here") from error


def _locked(path: Path) -> dict[str, str]:
    """Name → version, of those that this machine's Python needs."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise NotKnownError(f"{path.name} cannot be read here") from error
    found: dict[str, str] = {}
    for line in lines:
        if "==" not in line or line.startswith((" ", "#")):
            continue
        try:
            one = Requirement(line.rstrip("\\ "))
        except InvalidRequirement:
            continue
        if one.marker is None or one.marker.evaluate():
            found[one.name] = next(iter(one.specifier)).version
    return found


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _differ(found: str | None, wanted: str) -> bool:
    return found is not None and found.partition("+")[0] != wanted.partition("+")[0]
