"""What a check says, and how checks are run: each in its time, and none can end the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Literal

from flows.doctor.subject import NotKnownError, Subject
from mtl.errors import MtlError
from mtl.output.terminal import one_line
from mtl.reports.types import Report

State = Literal["ok", "warning", "problem", "not known"]
SECONDS = 30.0
"""For each check: a server, a bucket or a disk may never answer."""
WIDTH = 14


@dataclass(frozen=True)
class Said:
    """A check's answer."""

    state: State
    found: str
    fix: str = ""


Check = Callable[[Subject], Said]


class Finding(Report):
    """A check's answer, with its name."""

    check: str
    state: State
    found: str
    fix: str

    @property
    def lines(self) -> str:
        """As a person reads it."""
        state = "PROBLEM" if self.state == "problem" else self.state
        fix = f"\n{'':<11}{'':<{WIDTH}}fix: {one_line(self.fix)}" if self.fix else ""
        return f"{state:<11}{self.check:<{WIDTH}}{one_line(self.found)}{fix}"


def examine(subject: Subject, checks: Mapping[str, Check], seconds: float = SECONDS) -> Generator[Finding]:
    """Run checks, one after the other, and give what each found as soon as it is known.

    Args:
        seconds: that each may take; then what it looked at is not known.
    """
    for name, check in checks.items():
        answers: list[Said] = []
        asking = threading.Thread(target=_ask, args=(check, subject, answers), daemon=True)
        asking.start()
        asking.join(seconds)
        late = Said(
            "not known", f"no answer in {seconds:g} s", "see what it waits for (a network, a disk), and call it again"
        )
        said = answers[0] if answers else late
        yield Finding(check=name, state=said.state, found=said.found, fix=said.fix)


def _ask(check: Check, subject: Subject, answers: list[Said]) -> None:
    """What is raised is an answer, too; of what nobody foresaw we know nothing."""
    try:
        answers.append(check(subject))
    except MtlError as error:
        answers.append(Said("problem", f"{error.what}: {error.found}" if error.found else error.what, error.fix))
    except NotKnownError as error:
        answers.append(Said("not known", str(error)))
    except Exception as error:
        answers.append(Said("not known", f"it could not be looked at: {type(error).__name__}: {error}"))


def summary(findings: list[Finding]) -> str:
    """How many of each kind."""
    number = {
        state: sum(finding.state == state for finding in findings) for state in ("problem", "warning", "not known")
    }
    plural = {"problem": "problems", "warning": "warnings", "not known": "not known"}
    told = [f"{count} {plural[state] if count > 1 else state}" for state, count in number.items() if count]
    return ", ".join(told) or "all is well"
