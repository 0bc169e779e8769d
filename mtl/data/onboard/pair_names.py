"""How images and maps are called: what is put around the name that a pair has in common."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice, product, takewhile

from mtl.data.onboard.look import some
from mtl.data.onboard.map_words import map_kind

Affixes = tuple[str, str]
"""What stands before and behind the common name."""
SOME = 0.1
"""The share of a folder's maps that must have an image in another, for both to belong together."""
NEIGHBOURS = 8
"""Images with the longest beginning that are compared with a map."""


def side_names(stems: Sequence[tuple[Sequence[str], Sequence[str]]]) -> dict[tuple[str, str], None]:
    """What images and maps may be called, with {} for what a pair has in common, the likeliest first.

    Args:
        stems: names without extension of the images and of the maps of some folders; of one folder for both, all its names, twice.
    """
    seen: dict[tuple[str, str], None] = {}
    apart = [_told_apart(images, maps) for images, maps in stems]
    for images, maps in apart[:: max(1, len(apart) // NEIGHBOURS)]:
        seen |= _voted(images, maps)
    for mine, own in product(constant(images for images, _ in stems), constant(maps for _, maps in stems)):
        if mine != own or stems[0][0] is not stems[0][1]:
            seen[f"{mine}{{}}", f"{own}{{}}"] = None
    if all(len(maps) == 1 for _, maps in apart):  # too few in a folder to say anything
        seen |= _voted([name for images, _ in apart for name in images], [name for _, maps in apart for name in maps])
    return seen


def _told_apart(images: Sequence[str], maps: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Names of images and of maps; of those of one folder, by their words."""
    if images is not maps:
        return images, maps
    return [name for name in images if map_kind(name) is None], [name for name in images if map_kind(name) is not None]


def _voted(images: Sequence[str], maps: Sequence[str]) -> dict[tuple[str, str], None]:
    """What images and maps are called, as most of some of them are."""
    sample = some(maps)
    return {(template(mine), template(own)): None for mine, own in likely(around(images, sample), sample, SOME)}


def around(images: Sequence[str], maps: Sequence[str]) -> Counter[tuple[Affixes, Affixes]]:
    """What is put around the common name, of images and of maps → of how many maps that gives an image.

    Args:
        images, maps: names without extension.
    """
    found: Counter[tuple[Affixes, Affixes]] = Counter()
    known, ordered = {*images}, sorted(images)
    backwards = sorted(name[::-1] for name in images)
    turned = {*backwards}
    for name in maps:
        if name in known:
            found[("", ""), ("", "")] += 1
            continue
        for image, own in _endings(name, ordered) | _added(name, known):
            found[("", image), ("", own)] += 1
        for image, own in _endings(name[::-1], backwards) | _added(name[::-1], turned):
            found[(image[::-1], ""), (own[::-1], "")] += 1
    found += _common(images, maps)
    return found


def _added(name: str, others: Collection[str]) -> set[tuple[str, str]]:
    """Nothing, and what this name has behind a whole one of the others, whatever longer names begin alike: 7 and 7_segm."""
    places = [place for place in range(1, len(name)) if name[:place] in others and _begins(name, place)]
    return {("", name[places[-1] :])} if places else set()


def _endings(name: str, others: Sequence[str]) -> set[tuple[str, str]]:
    """What is left, of each of the names with the longest beginning in common, and of this name."""
    place = bisect_left(others, name)
    length = max((len(_beginning([name, other])) for other in others[max(0, place - 1) : place + 1]), default=0)
    if not length:
        return set()
    head = name[:length]
    alike = takewhile(lambda other: other.startswith(head), islice(others, bisect_left(others, head), None))
    found = {_cut(name, other, length) for other in islice(alike, NEIGHBOURS)}
    return {(other, own) for other, own in found if other != own and len(own) < len(name)}


def _beginning(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    return first[: next((i for i, letter in enumerate(first) if last[i : i + 1] != letter), len(first))]


def _cut(name: str, other: str, length: int) -> tuple[str, str]:
    """Both names' endings, from where a word begins: of 7_sat and 7_segm _sat and _segm."""
    while length and not (_begins(name, length) and _begins(other, length)):
        length -= 1
    while length and not name[length - 1].isalnum() and name[length - 1] not in ")]":
        length -= 1
    return other[length:], name[length:]


def _begins(name: str, place: int) -> bool:
    """Whether a word ends before this place: the name does, or letters, digits and others meet."""
    return place in (0, len(name)) or _kind(name[place]) == 2 or _kind(name[place - 1]) != _kind(name[place])


def _kind(letter: str) -> int:
    """Of digits 0, of letters 1, of others 2."""
    return 0 if letter.isdecimal() else 1 if letter.isalpha() else 2


def _common(images: Sequence[str], maps: Sequence[str]) -> Counter[tuple[Affixes, Affixes]]:
    """What all names of a side begin and end with, but for digits and for what both sides do."""
    if len(images) < 2 or len(maps) < 2:
        return Counter()
    befores = [_words_of(_beginning(names)) for names in (images, maps)]
    afters = [_words_of(_beginning([name[::-1] for name in names]))[::-1] for names in (images, maps)]
    mine, theirs = (name[::-1] for name in _without_same(*(before[::-1] for before in befores)))
    own, other = _without_same(*afters)
    if not (mine or theirs) or not (own or other):
        return Counter()  # one side of the name alone: its neighbours have said it
    keys = {name[len(mine) : len(name) - len(own)] for name in images}
    number = sum(name[len(theirs) : len(name) - len(other)] in keys for name in maps)
    return Counter({((mine, own), (theirs, other)): number}) if number else Counter()


def _without_same(one: str, other: str) -> tuple[str, str]:
    """Without the whole words that both begin with."""
    same = len(_beginning([one, other]))
    while same and not (_begins(one, same) and _begins(other, same)):
        same -= 1
    same = same if any(letter.isalnum() for letter in one[:same]) else 0
    return one[same:], other[same:]


def _words_of(common: str) -> str:
    """Without the digits at its end, which are a part of a number."""
    return common.rstrip("0123456789")


def template(affixes: Affixes) -> str:
    """As a section has it."""
    return f"{affixes[0]}{{}}{affixes[1]}"


def likely(votes: Counter[tuple[Affixes, Affixes]], maps: Sequence[str], share: float) -> list[tuple[Affixes, Affixes]]:
    """What gives an image to this share of the maps at least."""
    return [affixes for affixes, number in votes.most_common() if number > max(1.0, share * len(maps))]


def constant(names: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Names that files have in every folder alike: image.png and mask.png in a folder per picture."""
    folders = [frozenset(found) for found in names]
    if len(folders) < 3 or any(len(found) > NEIGHBOURS for found in folders):
        return ()
    return tuple(sorted(frozenset.intersection(*folders)))
