"""`mtl data init`: the sections of params.yaml for somebody's files."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

from PIL import Image

from mtl.config import DataError, parse, read_params
from mtl.config.files import FilesSource
from mtl.data.formats import FORMATS, Reading
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.recognise import candidates, some
from mtl.data.spec import TargetSpec

SHARD_SIZE = 32
"""What a new image costs is one shard: small enough for a weekly retraining, large enough for a bucket."""

TASK_OF = {
    "label": "classification",
    "labels": "multilabel",
    "value": "regression",
    "boxes": "detection",
    "mask": "segmentation",
    "depth": "depth",
    "normals": "normals",
}


@dataclass
class Proposal:
    """What was recognised: the `data.source` and `tasks` sections, and what a person may want to know."""

    format: str
    source: dict[str, Any]
    tasks: dict[str, Any]
    size: int
    facts: list[str] = field(default_factory=list[str])

    @property
    def sections(self) -> dict[str, Any]:
        """`data` and `tasks` as params.yaml has them."""
        operations = [
            {"type": "decode", "colour": "rgb"},
            {"type": "orient"},
            {"type": "resize", "height": self.size, "width": self.size},
            {"type": "standardize"},
        ]
        data = {"source": self.source, "operations": operations, "shard_size": SHARD_SIZE, "max_bad_fraction": 0.01}
        return {"data": data, "tasks": self.tasks}


def propose(path: str) -> Proposal:
    """Try every format that the names of the files allow, and propose the first that can be read.

    Raises:
        DataError: none fits; what each of them missed is said.
    """
    place = Place(path)
    tried: list[str] = []
    for sets in candidates(place):
        kind = next(iter(sets.values()))["format"]
        try:
            chosen = FilesSource.model_validate({"type": "files", "sets": sets}, strict=False)
            reading = _together([FORMATS[kind](settings, place) for settings in chosen.sets.values()])
        except (DataError, ValueError) as error:
            tried.append(f"{kind}: {str(error).splitlines()[0]}")
            continue
        if reading.entries:
            return _proposal(sets, place, reading)
        tried.append(f"{kind}: no image")
    shown = Counter(PurePosixPath(name).suffix or "none" for name in place.names()).most_common(5)
    raise DataError(
        f"{path} is in no format that is known",
        found="; ".join([f"files: {', '.join(f'{n} {s}' for s, n in shown)}", *tried]),
        fix="describe it in data.source.sets yourself: docs/how-to/bring-your-data.md",
    )


def _together(readings: list[Reading]) -> Reading:
    """What several sets hold."""
    return Reading(
        {name: spec for reading in readings for name, spec in reading.targets.items()},
        [entry for reading in readings for entry in reading.entries],
        [problem for reading in readings for problem in reading.problems],
    )


def sections_as_yaml(proposal: Proposal) -> str:
    """The sections as text."""
    from ruamel.yaml import YAML

    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = None  # pyright: ignore[reportAttributeAccessIssue]
    yaml.dump(_quoted(proposal.sections), text)
    return text.getvalue()


def _quoted(value: Any) -> Any:
    """With quotes around texts with a colon: DVC's YAML reader wants them."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and ":" in value else value


def write_sections(path: Path, proposal: Proposal) -> None:
    """Put them in the place of those in a params file, whose comments stay elsewhere.

    Raises:
        ConfigError: the whole would not be valid; nothing is written.
    """
    from ruamel.yaml import YAML

    parse({**read_params(path), **proposal.sections})
    yaml = YAML()
    yaml.preserve_quotes = True  # pyright: ignore[reportAttributeAccessIssue]
    values = yaml.load(path.read_text(encoding="utf-8"))
    # Through text, so that the new sections are laid out as a person would.
    values.update(yaml.load(sections_as_yaml(proposal)))
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


def _proposal(sets: dict[str, dict[str, Any]], place: Place, reading: Reading) -> Proposal:
    sizes = [size for entry in some(reading.entries) if (size := _size(place, entry.image))]
    shorter = int(median(min(size) for size in sizes)) if sizes else 64
    side = max(32, min(256, 32 * round(shorter / 32)))
    splits = Counter(entry.split for entry in reading.entries)
    given = None not in splits and len(splits) == 3
    facts = [
        f"{len(reading.entries)} images" + (f", {len(reading.problems)} with problems" if reading.problems else "")
    ]
    if sizes:
        widths, heights = zip(*sizes, strict=True)
        facts.append(f"{min(widths)}×{min(heights)} to {max(widths)}×{max(heights)} pixels")
    facts += [_fact(name, spec, reading) for name, spec in reading.targets.items()]
    source: dict[str, Any] = {"type": "files", "sets": sets}
    source["split"] = {"type": "given"} if given else {"type": "random", "val": 0.1, "test": 0.1}
    tasks = {name: {"type": TASK_OF[spec.kind]} for name, spec in reading.targets.items()}
    return Proposal(next(iter(sets.values()))["format"], source, tasks, side, facts)


def _size(place: Place, image: FileRef | bytes | None) -> tuple[int, int] | None:
    try:
        data = place.read(image.name) if isinstance(image, FileRef) else image or b""
        with Image.open(io.BytesIO(data)) as header:
            return header.size
    except Exception:  # the checks say what is wrong with it
        return None


def _fact(name: str, spec: TargetSpec, reading: Reading) -> str:
    have = sum(name in entry.targets for entry in reading.entries)
    classes = f", {len(spec.classes)} classes: {', '.join(spec.classes[:12])}" if spec.classes else ""
    return f"{name}: {spec.kind} of {have} images{classes}{' …' if len(spec.classes) > 12 else ''}"
