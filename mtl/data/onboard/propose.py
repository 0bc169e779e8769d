"""`mtl data init`: the sections of params.yaml for somebody's files. What is proposed was tried, and can be run."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from statistics import median

from pathspec import GitIgnoreSpec
from pydantic import ValidationError

from mtl.codecs.header import Header
from mtl.config.explain import explain
from mtl.config.files import AnyFileSet, FilesSource
from mtl.data.formats import FORMATS, Reading
from mtl.data.formats.label_files import is_label_file
from mtl.data.kinds import KINDS
from mtl.data.onboard.detect_format import detect_format, refusal
from mtl.data.onboard.image_folder import perhaps_classes
from mtl.data.onboard.look import Finding, Look, Section, ignored, some
from mtl.data.onboard.proposal import Proposal, grouped, patterns
from mtl.data.onboard.recipe import about, recipe, side
from mtl.data.onboard.trial import tried
from mtl.data.raw.rows import FileRef
from mtl.data.sources.account import container, is_document
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import IMAGES, FileTree


@dataclass
class Read:
    """A finding that was read: what its sets hold, one by one."""

    finding: Finding
    readings: dict[str, Reading]

    def targets(self) -> dict[str, TargetSpec]:
        """Of all its sets."""
        return {name: spec for reading in self.readings.values() for name, spec in reading.targets.items()}

    def images(self, *kinds: str) -> set[str]:
        """Files of images that have a target of these kinds."""
        names = {name for name, spec in self.targets().items() if spec.kind in kinds}
        entries = (entry for reading in self.readings.values() for entry in reading.entries)
        return {e.image.name for e in entries if isinstance(e.image, FileRef) and names & e.targets.keys()}


def propose(path: str, first: bool = True) -> Proposal:
    """Find every format that is there, read it, and propose what can be run.

    Args:
        first: nobody has chosen yet how to train: that is proposed, too.

    Raises:
        DataError: nothing is known here; or a format is, and has a fault, which is named.
    """
    tree = _stepped_into(path)
    look = Look(tree)
    findings = detect_format(look)
    facts = [f"a folder below: {tree.path}"] if tree.path != path.rstrip("/") else []
    facts += [fact for finding in findings for fact in finding.facts]
    for finding in findings:
        if finding.fault:
            raise refusal(path, finding, "; ".join(dict.fromkeys([finding.fault, *facts])))
    read = [_read(path, tree, finding) for finding in findings if finding.sets]
    if not read:
        raise _unknown(path, look, facts)
    kept, others = _without_doubles(read)
    facts += others
    if all(one.finding.format == "table" for one in kept) and not any(
        KINDS[s.kind].exclusive for s in kept[0].targets().values()
    ):
        facts += perhaps_classes(look)
    specs = {name: spec for one in kept for name, spec in one.targets().items()}
    tasks, untaught = _tasks(specs, kept)
    if not tasks:
        raise refusal(path, kept[0].finding, _nothing_to_learn(kept, untaught))
    sets = _sets(kept, findings, look.names, facts)
    trial = tried(sets, specs, [r for one in kept for r in one.readings.values()])
    if trial.fault:
        raise refusal(path, kept[0].finding, trial.fault)
    source: Section = {"type": "files", "sets": sets, "split": trial.split}
    proposal = Proposal(kept[0].finding.format, source, tasks, _side(tree, kept, specs), trial.bad_fraction)
    if first:
        proposal.changes = recipe(trial.images)
    proposal.facts = [
        *_counts(kept, tree),
        *(_fact(n, s, kept) for n, s in specs.items()),
        *untaught,
        *facts,
        *trial.facts,
        *([about(proposal.changes, proposal.size)] if first else []),
    ]
    return proposal


def _sets(kept: list[Read], findings: list[Finding], names: list[str], facts: list[str]) -> dict[str, Section]:
    """The sections of all findings that are kept, each under a name of its own. Files that others claim, and lists of classes
    that none of them needs, are declared as not meant: the facts name them.

    Args:
        names: of all files.
    """
    sets: dict[str, Section] = {}
    for one in kept:
        for name, section in one.finding.sets.items():
            numbered = (f"{name}_{number}" for number in itertools.count(2))
            free = (n for n in itertools.chain([name], numbered) if n not in sets)
            sets[next(free)] = {**section}
    readings = [reading for one in kept for reading in one.readings.values()]
    refs = [ref for r in readings for e in r.entries for ref in (e.image, *e.targets.values())]
    used = {container(ref.name) for ref in refs if isinstance(ref, FileRef)}
    used |= {name for r in readings for name in (*r.documents, *r.left_out, *(p.file for p in r.problems))}
    said = GitIgnoreSpec.from_lines(line for section in sets.values() for line in ignored(section))
    idle = {name for name in names if is_label_file(name)} - used
    evidence = idle.union(*(finding.evidence for finding in findings))
    facts += [f"lists of classes that nothing here needs: {', '.join(sorted(idle)[:4])}"] if idle else []
    unread = patterns((name for name in evidence - used if not said.match_file(name)), names)
    if unread:
        first = next(iter(sets.values()))
        first["ignore"] = [*ignored(first), *unread]
    return sets


def _stepped_into(path: str) -> FileTree:
    """The tree; of one whose files all lie in one folder, as archives have it, perhaps beside a README, that folder."""
    tree = FileTree(path)
    while True:
        names = [name for name in tree.names() if "/" in name or not is_document(name)]
        tops = {name.split("/")[0] for name in names}
        if len(tops) != 1 or any("/" not in name for name in names):
            return tree
        tree = FileTree(f"{tree.path.rstrip('/')}/{tops.pop()}")


def _read(path: str, tree: FileTree, finding: Finding) -> Read:
    readings: dict[str, Reading] = {}
    for name, section in finding.sets.items():
        try:
            chosen = _set(section)
            readings[name] = FORMATS[chosen.format](chosen, tree.without(chosen.ignore))
        except DataError as error:
            raise refusal(path, finding, error.line) from error
    return Read(finding, readings)


def _set(section: Mapping[str, object]) -> AnyFileSet:
    """A set of the proposal, as params.yaml will say it.

    Raises:
        DataError: it would not be valid.
    """
    try:
        source = FilesSource.model_validate({"type": "files", "sets": {"own": section}}, strict=False)
    except ValidationError as error:
        lines = [explain(problem, FilesSource) for problem in error.errors()]
        raise DataError("what was found cannot be described", found="; ".join(lines)) from error
    return source.sets["own"]


def _without_doubles(read: list[Read]) -> tuple[list[Read], list[str]]:
    """Without formats that say again what one before says of the same images: exports in several formats lie side by side."""
    kept: list[Read] = []
    facts: list[str] = []
    for one in read:
        for kind in ("boxes", "mask"):
            mine = one.images(kind)
            before = next((k for k in kept if mine and len(mine & k.images(kind)) * 2 > len(mine)), None)
            if before is not None:
                said = "boxes" if kind == "boxes" else "masks"
                facts.append(
                    f"also there, not proposed: {one.finding.format}, {said} of the images that {before.finding.format} has"
                )
                break
        else:
            kept.append(one)
    return kept, facts


def _tasks(specs: dict[str, TargetSpec], kept: list[Read]) -> tuple[Section, list[str]]:
    """A task per target that can be learnt; and why of others there is none."""
    tasks: Section = {}
    untaught: list[str] = []
    entries = [entry for one in kept for reading in one.readings.values() for entry in reading.entries]
    for name, spec in specs.items():
        have = [entry.targets[name] for entry in entries if name in entry.targets]
        if not have:
            untaught.append(f"{name}: no image has it; no task")
        elif fault := KINDS[spec.kind].faults(spec, have):
            untaught.append(f"{name}: {fault}")
        else:
            tasks[name] = {"type": KINDS[spec.kind].task}
    return tasks, untaught


def _nothing_to_learn(kept: list[Read], untaught: list[str]) -> str:
    shown = grouped(p for one in kept for r in one.readings.values() for p in r.problems)
    return "; ".join([*untaught, *shown]) or "no image has anything that can be learnt"


def _unknown(path: str, look: Look, facts: list[str]) -> DataError:
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without extension" for name in look.names).most_common(6)
    files = ", ".join(f"{number} {kind}" for kind, number in kinds)
    if not look.images:
        what = f"{path} has no images"
        fix = f"name a folder with images ({', '.join(IMAGES)}); how to describe one: docs/how-to/bring-your-data.md"
    else:
        what = f"{path} is in no format that is known"
        fix = (
            "say what the images show: a folder for each class, of which there are two at least, or a labels.csv with the columns "
            "image and label; other formats, and how to describe one: docs/how-to/bring-your-data.md"
        )
    return DataError(what, found="; ".join([f"files: {files}", *facts]), fix=fix)


def _side(tree: FileTree, kept: list[Read], specs: Mapping[str, TargetSpec]) -> int:
    sizes = _sizes(tree, kept)
    return side(int(median(min(size) for size in sizes)) if sizes else 64, [spec.kind for spec in specs.values()])


def _sizes(tree: FileTree, kept: list[Read]) -> list[tuple[int, int]]:
    names = sorted({name for one in kept for name in one.images(*KINDS)})
    return [(h.width, h.height) for h in tree.headers(some(names)).values() if isinstance(h, Header)]


def _counts(kept: list[Read], tree: FileTree) -> list[str]:
    readings = [reading for one in kept for reading in one.readings.values()]
    images = {e.image.name if isinstance(e.image, FileRef) else e.id for r in readings for e in r.entries}
    problems = sum(len(reading.problems) for reading in readings)
    facts = [f"{len(images)} images" + (f", {problems} problems" if problems else "")]
    facts += [f"problem: {kind}" for kind in grouped(p for r in readings for p in r.problems)]
    sizes = _sizes(tree, kept)
    if sizes:
        widths, heights = zip(*sizes, strict=True)
        facts.append(f"{min(widths)}×{min(heights)} to {max(widths)}×{max(heights)} pixels")
    return facts + [f"{what}: {number}" for r in readings for what, number in r.notes.items()]


def _fact(name: str, spec: TargetSpec, kept: list[Read]) -> str:
    entries = (entry for one in kept for reading in one.readings.values() for entry in reading.entries)
    have = sum(name in entry.targets for entry in entries)
    classes = f", {len(spec.classes)} classes: {', '.join(spec.classes[:12])}" if spec.classes else ""
    return f"{name}: {spec.kind} of {have} images{classes}{' …' if len(spec.classes) > 12 else ''}"
