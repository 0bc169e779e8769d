"""The site is strict: what leads nowhere ends `make docs`. That it builds as it is, .ci/run shows."""

from __future__ import annotations

import re
from pathlib import Path

import markdown
import pytest

from tests.conftest import ROOT
from tools.site import build, problems

TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A site of two pages, whole."""
    settings = (ROOT / "zensical.toml").read_text(encoding="utf-8").replace('"tools.fences" = {}\n', "")
    (tmp_path / "zensical.toml").write_text(settings, encoding="utf-8")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / ".nav.yml").write_text("nav: [index.md, two.md]\n")
    (docs / "index.md").write_text("# one\n\n[two](two.md#there)\n")
    (docs / "two.md").write_text("# two\n\n## there\n")
    return tmp_path


def add(site: Path, text: str) -> None:
    page = site / "docs" / "index.md"
    page.write_text(page.read_text() + text)


def test_what_leads_nowhere_is_found_in_the_built_pages(small: Path) -> None:
    add(
        small,
        '\n![x](gone.png) <a href="nowhere.html">x</a> <a href="two.html#no">x</a> <a href="two.html#there">x</a>\n',
    )
    add(small, '<img src="https://example.com/counter.gif">\n')
    (small / "docs" / "alone.md").write_text("# alone\n")
    assert build(small)
    assert sorted(problems(small / "site")) == [
        "alone.html: the navigation (docs/.nav.yml) does not name it",
        "index.html: gone.png leads nowhere",
        "index.html: loads https://example.com/counter.gif from elsewhere",
        "index.html: nowhere.html leads nowhere",
        "index.html: two.html#no leads nowhere",
    ]


@pytest.mark.parametrize("link", ["[x](gone.md)", "[x](two.md#gone)", "[x](#gone)"])
def test_a_broken_link_in_markdown_ends_the_build(link: str, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(small, f"\n{link}\n")
    assert not build(small)
    assert "does not exist" in capsys.readouterr().err


def test_blocks_of_the_how_tos_are_code_with_a_title() -> None:
    text = "```python mtl/x.py\na = 1\n```\n\n```edit mtl/y.py\nb\n---\nc\n```\n\n```python check\nd = 1\n```\n"
    made = markdown.markdown(text, extensions=["tools.fences", "pymdownx.highlight", "pymdownx.superfences"])
    titles = re.findall(r'class="filename">([^<]*)<', made)
    assert titles == [
        "mtl/x.py",
        "mtl/y.py: what stands above the dashes becomes what stands below",
        "what must hold afterwards",
    ]
    assert "```" not in made


@pytest.mark.parametrize("page", TOP, ids=lambda page: page.name)
def test_links_outside_of_the_site_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert sorted(link for link in links if not (ROOT / link).exists()) == []


def test_the_readme_is_short_and_its_picture_small() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert 10_000 < (ROOT / "docs" / "images" / "run.png").stat().st_size < 300_000
