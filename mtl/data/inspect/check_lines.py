"""What `mtl data check` found, for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from mtl.data.inspect.report import DataReport, Suspects
from mtl.data.raw.account import FilesOfPath
from mtl.errors import gist
from mtl.output.terminal import one_line

SHOWN = 20
"""Lines of one kind; the report in JSON has more."""


def as_lines(report: DataReport) -> list[str]:
    """The report for a terminal."""
    lines = ["samples: " + ", ".join(f"{number} {split}" for split, number in report.samples.items())]
    lines += [f"the {split} split is empty" for split in report.empty]
    for account in report.files:
        lines += _file_lines(account)
    bad = [(q.id, q.reason) for q in report.quarantined]
    lines += _problem_lines("images that cannot be used", bad)
    lines += _problem_lines(f"annotations that cannot be used, of {report.num_annotations}", report.annotations)
    lines += [f"{what}: {number}" for what, number in report.notes.items()]
    lines.append(f"copies with the same bytes, dropped: {report.copies_dropped}")
    lines.append(f"near duplicates: {report.num_near_duplicates} pairs, {report.num_leaks} of them across splits")
    lines += [f"  {a[0]}/{a[1]} and {b[0]}/{b[1]}" for a, b in report.leaks[:20]]
    lines += _crowd_lines(report)
    lines += _suspect_lines(report.suspects)
    lines.append(f"groups in several splits: {len(report.divided_groups)}")
    lines += [
        f"  {group}: " + ", ".join(f"{number} {split}" for split, number in splits.items())
        for group, splits in list(report.divided_groups.items())[:20]
    ]
    lines.append(f"another format than the extension says: {len(report.wrong_extensions)}")
    lines += [f"  {w.file} is {w.format}" for w in report.wrong_extensions[:20]]
    if report.first_of_many:
        some = ", ".join(report.first_of_many[:5])
        lines.append(f"with further pages or frames, of which the first is read: {len(report.first_of_many)} ({some})")
    for name, classes in report.balance.items():
        lines.append(f"{name}:")
        lines += [f"  {c:<20} " + ", ".join(f"{n} {s}" for s, n in numbers.items()) for c, numbers in classes.items()]
    lines += [f"warning: {line}" for line in report.warnings]
    return [one_line(line) for line in lines]


def _crowd_lines(report: DataReport) -> list[str]:
    """Many images that look like one."""
    lines: list[str] = []
    for crowd in report.crowds[:SHOWN]:
        where = ", ".join(f"{number} {split}" for split, number in crowd.splits.items())
        lines.append(f"  {crowd.number} look like one ({where}): {', '.join(crowd.first[:3])} …")
    if report.plain:
        some = ", ".join(found for _, found in report.plain[:3])
        lines.append(f"without any structure, so not compared: {len(report.plain)} ({some})")
    return lines


def _suspect_lines(found: Suspects) -> list[str]:
    """What of the arrivals a person should look at."""
    lines = [f"arrived since the last preparation here: {found.num_arrived}"]
    lines += [
        f"  look at these: {patch.number} of {found.num_looked_at} arrivals, and {patch.known} known images, share a patch "
        f"({', '.join(f'{number} {label}' for label, number in patch.labels.items()) or 'without labels'}): "
        + ", ".join(f"{split}/{name}" for split, name in patch.first[:3])
        for patch in found.patches
    ]
    if found.conflicts:
        lines.append(f"  near duplicates with other labels, one of them new: {len(found.conflicts)}")
    for conflict in found.conflicts[:SHOWN]:
        (one, other), labels = conflict.images, "; ".join(f"{a}, {b}" for a, b in conflict.labels)
        lines.append(f"    {one[0]}/{one[1]} and {other[0]}/{other[1]}: {labels}")
    return lines


def _file_lines(account: FilesOfPath) -> list[str]:
    """Every file below a path, by what became of it."""
    numbers = {
        "used": account.used,
        "copies of others": account.copies,
        "with a problem": account.problems,
        "left out by their set": sum(some.number for some in account.left_out.values()),
        "no data": account.not_data.number,
        "ignored as declared": account.ignored,
        "used by no set": account.unaccounted.number,
    }
    shown = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
    lines = [f"files of {account.path}: {account.found} = {shown}"]
    lines += [f"  left out: {some.number} × {reason}" for reason, some in account.left_out.items()]
    files = account.unaccounted.files
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without extension" for name in files)
    if files:
        lines.append("  used by no set: " + ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()))
        lines += [f"    {name}" for name in files[:SHOWN]]
        lines.append("    if they are not meant, say so: `ignore:` of the set, as .gitignore has it")
    return lines


def _problem_lines(what: str, problems: Sequence[Sequence[str]]) -> list[str]:
    reasons = Counter(gist(reason) for _, reason in problems)
    lines = [f"{what}: {len(problems)}"]
    lines += [f"  {number} × {reason}" for reason, number in reasons.most_common(SHOWN)]
    return lines + [f"  {found}: {reason}" for found, reason in problems[:SHOWN]]
