"""COCO: JSON files with lists of images and annotations, several of which may be one data set's splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from mtl.data.onboard.coco_images import Listed, listed
from mtl.data.onboard.coco_summary import FEDERATED, INSTANCES, PANOPTIC, Summary, is_coco, summary
from mtl.data.onboard.documents import Kind, overlapping
from mtl.data.onboard.look import Finding, Look, Section, identifier

PARTIAL = 2
"""Where fewer than one in so many of the listed images are here, the others are meant to be away."""

HALF = 0.5
"""The share of objects with an outline above which masks are proposed: of the others, the whole boxes are unknown."""

Files = Mapping[str, Listed]


def _findings(look: Look, documents: Mapping[str, Summary]) -> Iterator[Finding]:
    """One finding of all files that are one data set's; one each of what is there besides."""
    federated = [name for name, found in documents.items() if found.kind == FEDERATED]
    if federated:
        fault = f"{federated[0]} is LVIS: of each image a few categories only are labelled, and of the others nothing is known"
        yield Finding("coco", evidence=frozenset(documents), fault=fault)
        return
    files = {name: listed(look, name, found) for name, found in documents.items()}
    for kind in (INSTANCES, PANOPTIC):
        used = {name: file for name, file in files.items() if file.summary.kind == kind and file.here}
        if not used:
            continue
        again = _said_again(used)
        kept = {name: file for name, file in used.items() if name not in again}
        yield _data_set(look, kind, kept)
        for name in [name for name in files if name not in kept]:
            fact = f"{name}: {again.get(name) or _why_not(files[name])}, not read"
            yield Finding("coco", evidence=frozenset([name]), facts=(fact,))
        return
    yield _fault(files)


COCO = Kind("coco", is_coco, summary, _findings)


def _fault(files: Files) -> Finding:
    """What is there is COCO, and nothing of it can be used."""
    objects = [(name, file) for name, file in files.items() if file.summary.kind in (INSTANCES, PANOPTIC)]
    if objects:
        name, file = objects[0]
        fault = f"none of the {len(file.summary.images)} images that {name} lists is found; {file.missing}"
    else:
        kinds = dict.fromkeys(file.summary.kind for file in files.values())
        fault = f"its files have {', '.join(kinds)}; boxes or outlines are wanted"
    return Finding("coco", evidence=frozenset(files), fault=fault)


def _why_not(file: Listed) -> str:
    if file.summary.kind in (INSTANCES, PANOPTIC):
        return f"{file.summary.kind}" if file.here else f"none of its {len(file.summary.images)} images is here"
    return file.summary.kind


def _said_again(files: Files) -> dict[str, str]:
    """File → why it is left out beside others: it is about images that they have, and says less, or the same."""
    found: dict[str, str] = {}
    pairs = overlapping({name: file.here for name, file in files.items()})
    both = [*pairs, *((other, one) for one, other in pairs)]
    for one, other in both:
        if _is_stuff(one) and not _is_stuff(other):
            found[one] = "stuff of images whose objects another file has"
    for one, other in both:
        if files[one].summary.keypoints and not files[other].summary.keypoints and other not in found:
            found[one] = "keypoints of images whose objects another file has"
    for name, file in files.items():
        parts = [
            other for other, part in files.items() if other != name and part.here < file.here and other not in found
        ]
        if len(parts) > 1 and file.here == frozenset().union(*(files[part].here for part in parts)):
            found[name] = f"the images of {', '.join(parts)} together"
    for one, other in pairs:
        if not {one, other} & found.keys() and files[one] == files[other]:
            found[other] = f"as much as {one}"
    return found


def _is_stuff(file: str) -> bool:
    return "stuff" in PurePosixPath(file).stem.lower()


def _data_set(look: Look, kind: str, files: Files) -> Finding:
    """A set per file; their classes are the same."""
    twice = overlapping({name: file.here for name, file in files.items()})
    if twice:
        one, other = twice[0]
        fault = f"{one} and {other} annotate the same images: keep one, or give each a set and targets of its own"
        return Finding("coco", evidence=frozenset(files), fault=fault)
    names = _set_names([*files])
    classes = list(dict.fromkeys(c for file in files.values() for c in file.summary.classes))
    summaries = [file.summary for file in files.values()]
    total = max(1, sum(found.annotations for found in summaries))
    outlined = sum(found.outlined * found.annotations for found in summaries) / total
    boxed = sum(found.boxed * found.annotations for found in summaries) / total
    masks = outlined > HALF
    facts: list[str] = []
    sets: dict[str, Section] = {}
    for file, found in files.items():
        settings: Section = {"path": look.tree.path, "format": "coco", "annotations": file}
        settings |= {"images": found.folder} if found.folder else {}
        if kind == PANOPTIC:
            settings |= {"format": "coco_panoptic", **_segments(look, file)}
        else:
            settings |= {"boxes": "objects"} | ({"masks": "regions"} if masks else {})
        if len(files) > 1:
            settings |= {"classes": classes, "id_prefix": f"{names[file]}/"}
        missing = len({*found.summary.images}) - len(found.here)
        if PARTIAL * len(found.here) < len({*found.summary.images}):
            settings["partial"] = True
            facts.append(f"{file}: {missing} of the images that it lists are not here")
        sets[names[file]] = settings
    if masks and outlined == boxed:
        facts.append("every outline is its box: the masks say no more than the boxes")
    return Finding("coco_panoptic" if kind == PANOPTIC else "coco", sets, frozenset(files), tuple(facts))


def _segments(look: Look, file: str) -> dict[str, str]:
    """The folder of the maps, if it is not beside the file and called like it."""
    path = PurePosixPath(file)
    usual = (path.parent / path.stem).as_posix()
    if any(image.startswith(f"{usual}/") for image in look.images):
        return {}
    folders = Counter(PurePosixPath(image).parent.as_posix() for image in look.images if image.lower().endswith(".png"))
    alike = [folder for folder in folders if PurePosixPath(folder).name == path.stem]
    return {"segments": alike[0]} if len(alike) == 1 else {}


def _set_names(files: list[str]) -> dict[str, str]:
    """A name of a set for each file: its stem; of files of one stem, their folder."""
    stems = [identifier(PurePosixPath(file).stem) for file in files]
    if len(set(stems)) < len(files):
        stems = [identifier(PurePosixPath(file).parent.as_posix()) for file in files]
    if len(set(stems)) < len(files):
        stems = [f"{stem}_{number}" for number, stem in enumerate(stems)]
    return dict(zip(files, stems, strict=True)) if len(files) > 1 else dict.fromkeys(files, "images")
