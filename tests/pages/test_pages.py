"""Every page, in a browser: for all eyes, on a phone, in the dark, on paper, offline, and whatever names it shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mtl.config.params import Config
from tests.browser import Browser
from tests.pages.gallery import all_pages, data, history_of, home, monitor, overview

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN = f"""
window.violations = null;
axe.run(document, {{runOnly: {{type: "tag", values: {json.dumps(RULES)}}}}}).then(
  found => {{ window.violations = JSON.stringify(found.violations.map(v => [v.id, String(v.nodes.map(n => n.target))])); }},
  error => {{ window.violations = JSON.stringify([["axe failed", String(error)]]); }});
true
"""
SCREENS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"dark": True},
    "phone": {"width": 390, "height": 844},
    "phone, dark": {"width": 390, "height": 844, "dark": True},
}
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, config: Config) -> dict[str, Path]:
    return all_pages(tmp_path_factory.mktemp("pages"), config)


def violations(browser: Browser) -> list[Any]:
    """What axe finds on the page that is open."""
    browser.evaluate(AXE)
    browser.evaluate(RUN)
    browser.wait_for("window.violations !== null")
    return json.loads(browser.evaluate("window.violations"))


def look_at_all(pages: dict[str, Path], browser: Browser, screens: Sequence[str]) -> set[str]:
    """Backgrounds of all pages, of which none scrolls sideways, breaks a rule of axe, or asks anybody."""
    grounds, before = set[str](), browser.asked()
    for name, path in pages.items():
        for screen in screens:
            browser.look(**SCREENS[screen])
            browser.open(path.as_uri())
            assert browser.evaluate(WIDE) == 0, f"{name}, {screen}: it scrolls sideways"
            assert violations(browser) == [], f"{name}, {screen}"
            grounds.add(browser.evaluate(BACKGROUND))
    assert [url for url in browser.asked() - before if not url.startswith(("file:", "data:"))] == []
    assert browser.problems() == []
    return grounds


def test_axe_finds_nothing_on_any_page(pages: dict[str, Path], browser: Browser) -> None:
    assert len(look_at_all(pages, browser, ["light", "phone, dark"])) == 2  # light and dark are two


@pytest.mark.slow
def test_axe_finds_nothing_on_other_screens(pages: dict[str, Path], browser: Browser) -> None:
    assert len(look_at_all(pages, browser, ["dark", "phone"])) == 2


def test_axe_would_find_something(browser: Browser, pages: dict[str, Path]) -> None:
    browser.look()
    browser.open(pages["report"].as_uri())
    browser.evaluate("document.querySelector('main h1').insertAdjacentHTML('afterend', '<img src=data:,>')")
    assert [name for name, _ in violations(browser)] == ["image-alt"]
    browser.evaluate("document.querySelector('main h1').style.color = '#ddd'")
    assert [name for name, _ in violations(browser)] == ["color-contrast", "image-alt"]


def test_contents_stand_at_the_side(pages: dict[str, Path], browser: Browser) -> None:
    """And are a menu on a phone; every entry leads to a heading."""
    for name, path in pages.items():
        browser.look()
        browser.open(path.as_uri())
        if not browser.evaluate("document.querySelectorAll('h2').length > 1"):
            continue
        anchors = browser.evaluate("[...document.querySelectorAll('.contents a')].map(a => a.hash.slice(1))")
        assert len(anchors) == browser.evaluate("document.querySelectorAll('h2').length"), name
        assert browser.evaluate(f"{json.dumps(anchors)}.every(a => document.getElementById(a).tagName === 'H2')")
        assert browser.evaluate("document.querySelector('.contents details').open")
        browser.look(width=390, height=844)
        browser.open(path.as_uri())
        assert not browser.evaluate("document.querySelector('.contents details').open"), name


def test_tables_sort_and_filter_and_pictures_grow(pages: dict[str, Path], browser: Browser) -> None:
    browser.look()
    browser.open(pages["report"].as_uri())
    column = "[...document.querySelectorAll('table.sort')[0].tBodies[0].rows].map(r => parseFloat(r.cells[2].textContent) || 9)"
    browser.evaluate("document.querySelector('table.sort').tHead.rows[0].cells[2].querySelector('button').click()")
    assert browser.evaluate(column) == sorted(browser.evaluate(column))
    browser.evaluate("const f = document.querySelector('.filter'); f.value = 'improvement'; f.oninput()")
    assert (
        browser.evaluate(
            "[...document.querySelectorAll('table.sort')[1].tBodies[0].rows].filter(r => !r.hidden).length"
        )
        == 1
    )
    browser.evaluate("document.querySelector('.zoom').click()")
    assert browser.evaluate("document.querySelector('dialog[open] img').clientWidth") > 400
    assert browser.evaluate("getComputedStyle(document.querySelector('.picture img')).imageRendering") == "pixelated"


def test_the_champion_stands_beside_it(pages: dict[str, Path], browser: Browser) -> None:
    browser.look()
    browser.open(pages["report"].as_uri())
    heads = browser.evaluate(
        "[...document.querySelectorAll('thead')].map(h => h.innerText).filter(t => t.includes('version 1'))"
    )
    assert len(heads) == 2  # metrics, slices
    first = browser.evaluate("document.querySelector('table.sort').tBodies[0].rows[0].innerText")
    assert "0.8100 [0.7800, 0.8300]" in first
    assert "0.7800 [0.7500, 0.8000]" in first
    assert "+0.0300 better" in first
    pairs = browser.evaluate("[...document.querySelectorAll('.pair')].map(p => p.innerText)")
    assert len(pairs) == 7  # the eighth the champion could not read
    assert all("version 2" in pair and "version 1" in pair and "species: dog 0.61 (is dog)" in pair for pair in pairs)
    assert "Version 1, the champion: it has no task count." in browser.evaluate("document.body.innerText")
    sides = browser.evaluate(
        "[...document.querySelector('.pair').querySelectorAll('img')].map(i => i.getBoundingClientRect().x)"
    )
    assert sides[0] < sides[-1]


def test_all_is_there_without_scripts_and_on_paper(pages: dict[str, Path], browser: Browser) -> None:
    for name, path in pages.items():
        browser.look(script=False)
        browser.open(path.as_uri())
        assert browser.evaluate("document.querySelector('h1').innerText"), name
        if browser.evaluate("!!document.querySelector('.contents')"):
            assert browser.evaluate("document.querySelector('.contents details').open"), name
    browser.look()
    browser.open(pages["report"].as_uri())
    browser.ask(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert browser.evaluate("getComputedStyle(document.querySelector('.contents')).display") == "none"
    assert browser.evaluate(BACKGROUND) == "rgb(255, 255, 255)"
    browser.ask("Emulation.setEmulatedMedia", media="")


@pytest.mark.attack(
    boundary="registry writer", attack="markup in a tag, a reason or a flow run's name on the home and history pages"
)
def test_home_and_history_show_names_as_text(browser: Browser, tmp_path: Path) -> None:
    name = "<script>window.planted=1</script><img src=x onerror=window.planted=1>\x1b[31m</td></table></main>"
    _, result = monitor(tmp_path)
    for text in (home(tmp_path, overview(result, name)), history_of(overview(result, name))):
        assert "\x1b" not in text
        (tmp_path / "home.html").write_text(text, encoding="utf-8")
        browser.look()
        browser.open((tmp_path / "home.html").as_uri())
        assert browser.evaluate("window.planted === undefined")
        assert browser.evaluate("document.querySelectorAll('script').length") == 1
        assert browser.evaluate("document.images.length") == 0
        assert "<script>window.planted=1</script>" in browser.evaluate("document.body.innerText")


def test_a_history_has_metrics_and_decisions(pages: dict[str, Path], browser: Browser) -> None:
    browser.look()
    browser.open(pages["history"].as_uri())
    text = browser.evaluate("document.querySelector('main').innerText")
    for said in (
        "species: accuracy",
        "0.9100 [0.8800, 0.9300]",
        "promoted (against version 1)",
        "new data",
        "by",
        "ci",
    ):
        assert said in text
    assert browser.evaluate("document.querySelectorAll('main svg').length") == 3  # a chart for each task
    browser.open(pages["empty history"].as_uri())
    assert "There is no version yet" in browser.evaluate("document.body.innerText")


def test_a_data_report_says_what_was_left_out(tmp_path: Path) -> None:
    text = data(tmp_path).read_text(encoding="utf-8")
    for said in ("cannot be decoded", "1 left out: no label", "notes.txt", "near duplicates lie in different splits"):
        assert said in text
