"""The site: `python -m tools.site` builds docs/ into site/, and ends with 1 where something leads nowhere.

Zensical's strict mode looks at links and anchors in Markdown. What it leaves out is looked at in the pages that it built: images
and other files, links in HTML, pages that the navigation does not name, and whatever a browser would load from elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""Tags whose address a browser fetches by itself."""
NO_FILES = {"canonical", "prev", "next"}
"""Kinds of <link> that name a page and load nothing."""


@dataclass
class Page(HTMLParser):
    """The addresses and anchors of a page."""

    path: Path
    links: list[str] = field(default_factory=list[str])
    loaded: list[str] = field(default_factory=list[str])
    navigation: list[str] = field(default_factory=list[str])
    anchors: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.anchors |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
            if "md-nav__link" in found.get("class", ""):
                self.navigation.append(found["href"])
        address = found.get(LOADED.get(tag, ""))
        if address and found.get("rel") not in NO_FILES:
            self.loaded.append(address)


def build(root: Path) -> bool:
    """Whether Zensical built the site of a folder without a warning."""
    words = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]  # -m: tools.fences is found from here
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr.partition("Traceback")[0], file=sys.stderr)
    return done.returncode == 0


def problems(site: Path) -> Iterator[str]:
    """What leads nowhere in a built site, page by page."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    listed = {_target(site / "index.html", address) for address in pages[site / "index.html"].navigation}
    for path, page in pages.items():
        name = path.relative_to(site)
        if path not in listed and path.stem not in ("404", "index"):
            yield f"{name}: the navigation (docs/.nav.yml) does not name it"
        for address in page.loaded:
            if urlsplit(address).netloc:
                yield f"{name}: loads {address} from elsewhere"
        if path.stem == "404":  # its links begin at the root of the place where the site is served
            continue
        for address in {*page.links, *page.loaded}:
            if not urlsplit(address).scheme and not urlsplit(address).netloc and not _there(path, address, pages):
                yield f"{name}: {address} leads nowhere"


def _there(page: Path, address: str, pages: dict[Path, Page]) -> bool:
    target, anchor = _target(page, address), unquote(urlsplit(address).fragment)
    if not target.is_file():
        return False
    return not anchor or target not in pages or anchor in pages[target].anchors


def _target(page: Path, address: str) -> Path:
    """The file that an address of a page means."""
    path = unquote(urlsplit(address).path)
    target = (page.parent / path).resolve() if path else page
    return target / "index.html" if target.is_dir() else target


if __name__ == "__main__":
    if not build(ROOT):
        sys.exit("error: the site has broken links, named above")
    if found := list(problems(ROOT / "site")):
        sys.exit("\n".join(["error: the site has problems:", *(f"  - {line}" for line in found)]))
    print("site/index.html")
