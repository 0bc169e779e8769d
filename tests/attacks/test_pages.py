"""Names that somebody else wrote, in pages, cards, tables and on the terminal: they stay text, and load and run nothing."""

from __future__ import annotations

import base64
import contextlib
import csv
import http.server
import io
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from flows.observe.summary import markdown as summary
from flows.registry.lineage import page as write_lineage
from mtl.compare.results import ComparisonTable, FailedRow
from mtl.compare.table import markdown as comparison
from mtl.config.gate import GateConfig
from mtl.config.params import Config
from mtl.data.inspect.check_lines import as_lines
from mtl.data.inspect.page import write_data_page
from mtl.data.inspect.report import DataReport
from mtl.data.raw.splits import read_rows, write_table
from mtl.data.shards import manifest
from mtl.data.spec import SPLITS
from mtl.errors import MtlError
from mtl.evaluate.tables import write_tables
from mtl.gate import decide
from mtl.monitor.page import write_page as write_monitor
from mtl.output.terminal import Guarded
from mtl.registry.registry import Version
from mtl.reports import EvalReport, SliceReport, TrainReport
from mtl.reports.beside import PicturesBeside
from mtl.reports.card import write_card
from mtl.reports.document import document, policy
from mtl.reports.figure import as_png
from mtl.reports.lineage import Lineage, Source
from mtl.reports.markdown import as_code, as_text
from mtl.reports.monitoring import MonitorReport
from mtl.reports.page import write_page
from mtl.reports.pictures import Picture, Pictures
from mtl.serving.page import CONNECTS
from mtl.serving.page import page as endpoint_page
from tests.browser import Browser
from tests.gate.test_gate import report, task
from tests.reports.test_reports import COST

ESCAPES = "\x1b[31mred\x1b[8m\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x9b2J\r\u202ecat"


PLANTED = """
document.querySelectorAll('iframe,object,base,link,[onload],[onerror],a:not([href^="#"]),svg:not([role=img])').length
+ document.querySelectorAll('script,style').length - 2
"""
"""What a page has that none of ours does: we have one style and one script."""


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody is to ask: its address, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *words: Any) -> None: ...

    with _served(Handler) as address:
        yield address, asked


@contextlib.contextmanager
def _served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def hostile(address: str) -> str:
    """A name that loads something by every way that there is."""
    return (
        f"</code></td></title><script>fetch('{address}/script')</script><img src={address}/img onerror=fetch('{address}/e')>"
        f"<style>@import url({address}/css);body{{background:url({address}/bg)}}</style><link rel=stylesheet href={address}/l>"
        f"<iframe src={address}/frame></iframe><svg onload=fetch('{address}/svg')></svg><base href={address}/>"
        f"<meta http-equiv=refresh content='1;url={address}/meta'><object data={address}/o></object>"
        f"![i]({address}/md) [l]({address}/link) <{address}/auto> {address}/bare `x` | a | **b** www.example.com $x^$ &lt;"
    )


@pytest.fixture
def written(config: Config, tmp_path: Path, stranger: tuple[str, list[str]]) -> list[Path]:
    """Every page and card, with hostile names wherever a name comes from data, a registry or params."""
    name = hostile(stranger[0])
    noise = np.zeros(100)
    slices = {name: {name: SliceReport(value=0.7, num_samples=60, replicates=(0.7,) * 100)}}
    kind = task(0.8, noise, blind=0.3, num_targets=85, support={name: 0, f"{name}2": 5}, slices=slices)
    evaluation = report({"kind": kind}).model_copy(update={"small_slices": {name: 3}, "not_judged": {name: name}})
    values = {"history": [], "best_epoch": 0, "steps": 1, "seconds": 1.0, "bf16": False, "world_size": 1}
    training = TrainReport(**values, worlds=[[0, 1]], device=name, parameters={"shared": 1}, cost=COST)  # type: ignore[arg-type]
    decision = decide(evaluation, None, None, GateConfig(margin=0.02, min_improvement=None, confidence=0.95))
    decision = decision.model_copy(update={"summary": name})
    facts = {"version": 1, "reason": name, "commit": f"`{name}"}
    sources = [Source(name=name, package=name, version=name, licence=name, sha256=name)]
    said = config.registry.model_copy(update={"intended_use": name, "limits": f"# {name}\n\n- {name}"})
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    encoded = base64.b64encode(_picture()).decode()
    shown = Picture(id=name, kind="bad", drawn=encoded, beside=encoded, lines=(name,))
    (pictures / "pictures.json").write_text(Pictures(pictures=(shown,)).model_dump_json())
    (pictures / "confusion.csv").write_text(f'task,actual,predicted\n"{name}","{name}","{name}"\n')
    (pictures / "reliability.csv").write_text(f'task,confidence,accuracy,count\n"{name}",0.5,0.5,3\n')
    beside = PicturesBeside(pictures=(shown,), remark=name)
    write_page(tmp_path / "page.html", evaluation, training, decision, facts, pictures, evaluation, beside)
    mine = config.model_copy(update={"registry": said})
    card = write_card(tmp_path / "card", mine, evaluation, training, decision, facts, sources)
    found = {"name": name, "test": "mmd", "p": 0.1, "index": 0.1, "usual": 0.1, "reference": 0.1, "batch": 0.1}
    late = {"task": name, "version": 1, "images": 1, "metric": "mae", "p": 0.1, "value": 1.0, "low": 1.0, "high": 1.0}
    result = {
        "findings": [{**found, "reason": name, "shifted": True}],
        "late": [{**late, "registered": 1.0, "worse": True}],
    }
    result |= {"reasons": [name], "late_reasons": [name], "judged": 1, "images": 1, "version": 1}
    looked = MonitorReport.model_validate(result | {"unreadable": [], "unjudged": [name]})
    write_monitor(tmp_path / "monitor.html", looked, None, None, [(name, 1.0, _picture())])  # type: ignore[arg-type]
    write_lineage(_lineage(name), tmp_path / "lineage.html")
    (tmp_path / "summary.md").write_text(summary(evaluation, decision, Version(1, "r", {})))
    return [*(tmp_path / f"{n}.html" for n in ("page", "monitor", "lineage")), *card, tmp_path / "summary.md"]


def _lineage(name: str) -> Lineage:
    texts = (
        "model",
        "commit",
        "uncommitted",
        "lock_sha256",
        "mlflow_run",
        "flow_run",
        "reason",
        "weights_sha256",
        "decision",
        "unverified",
        "data",
        "fingerprint",
        "package_sha256",
    )
    change = dict.fromkeys(("when", "kind", "who", "why"), name) | {"from": 1, "to": 2}
    lists = {"aliases": [name], "sources": [dict.fromkeys(("name", "package", "version", "licence", "sha256"), name)]}
    more = {"stages": {name: {name: name}}, "left_out": {name: name}, "machine": {"processor": name}, "metrics": {}}
    training = {"steps": 1, "seconds": 1.0, "world_size": 1, "worlds": [], "device": name, "bf16": False}
    return Lineage.model_validate(
        dict.fromkeys(texts, name)
        | lists
        | more
        | {"version": 1, "dirty": True, "params": {name: name}, "promotions": [change], "training": training}
    )


def _suspects(name: str) -> dict[str, Any]:
    patch = {"number": 3, "known": 0, "labels": {name: 3}, "first": [["train", name]]}
    conflict = {"images": [["train", name], ["train", name]], "labels": [[name, name]]}
    return {"num_arrived": 9, "num_looked_at": 9, "patches": [patch], "conflicts": [conflict]}


def _picture() -> bytes:
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(2, 2))
    axis.set_xticks([0], [r"$\nonsense{"])
    axis.set_title(r"a $ and \$ and $\frac$")
    return as_png(figure)


@pytest.mark.attack(boundary="data supplier", attack="a class named <script> or <img src=…> in a page")
def test_pages_load_and_run_nothing(written: list[Path], stranger: tuple[str, list[str]], tmp_path: Path) -> None:
    pages = [path for path in written if path.suffix == ".html"]
    assert len(pages) == 4
    with Browser(tmp_path) as browser:
        for path in pages:
            assert path.read_text().index("Content-Security-Policy") < 120
            browser.open(path.as_uri())
            time.sleep(0.3)
            assert browser.evaluate(PLANTED) == 0
            assert browser.evaluate("[...document.images].every(i => i.naturalWidth > 0 && i.src.startsWith('data:'))")
            assert browser.evaluate("getComputedStyle(document.body).margin") == "0px"  # our own style holds
            assert "</code></td></title><script>" in browser.evaluate("document.body.innerText")  # the name, as text
        assert browser.evaluate("location.href") == pages[-1].as_uri()
    assert stranger[1] == []


@pytest.mark.slow
@pytest.mark.attack(boundary="data supplier", attack="a file or a class with markup in its name in the data report")
def test_the_data_report_loads_and_runs_nothing(
    prepared: Path, stranger: tuple[str, list[str]], tmp_path: Path
) -> None:
    name = hostile(stranger[0])
    some = {"number": 1, "files": [name]}
    account: dict[str, Any] = {"path": name, "found": 1, "used": 1, "copies": 0, "problems": 0, "ignored": 0}
    account |= {"left_out": {name: some}, "not_data": some, "unaccounted": some}
    found: dict[str, Any] = {"samples": {name: 1}, "warnings": [name], "leaks": [[[name, name], [name, name]]]}
    found |= {"files": [account], "notes": {name: 1}, "annotations": [[name, name]], "num_annotations": 1}
    found |= {"quarantined": [{"id": name, "split": name, "reason": name}], "copies_dropped": 0, "near_duplicates": []}
    found |= {
        "num_near_duplicates": 0,
        "num_leaks": 1,
        "crowds": [],
        "plain": [["train", name]],
        "suspects": _suspects(name),
    }
    found |= {"empty": [], "divided_groups": {}, "first_of_many": []}
    found |= {"wrong_extensions": [], "sizes": [[1, 1, 1]], "balance": {r"$\bad{": {name: dict.fromkeys(SPLITS, 1)}}}
    write_data_page(tmp_path / "report.html", DataReport.model_validate(found), prepared, manifest.read(prepared))
    with Browser(tmp_path) as browser:
        browser.open((tmp_path / "report.html").as_uri())
        time.sleep(0.3)
        assert browser.evaluate(PLANTED) == 0
        assert browser.evaluate("document.images.length > 2 && [...document.images].every(i => i.naturalWidth > 0)")
        assert browser.evaluate("getComputedStyle(document.body).margin") == "0px"  # our own style holds
    assert stranger[1] == []


@pytest.mark.attack(boundary="data supplier", attack="markup in a page that escaping had missed")
def test_a_page_loads_nothing_even_if_a_name_were_not_escaped(stranger: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = stranger
    (tmp_path / "page.html").write_text(document("t", hostile(address).replace("<meta", "<!--")))
    with Browser(tmp_path) as browser:
        browser.open((tmp_path / "page.html").as_uri())
        time.sleep(1)
        assert browser.evaluate("document.querySelectorAll('script').length") == 1  # it is there, and does nothing
    assert asked == []


@pytest.mark.attack(boundary="data supplier", attack="an image or a link in the Markdown of a card")
def test_markdown_stays_text(written: list[Path], stranger: tuple[str, list[str]]) -> None:
    """As the most permissive of renderers shows it: HTML is let through, bare addresses become links."""
    lenient = MarkdownIt("js-default", {"html": True, "linkify": False}).enable("table")
    strict = MarkdownIt("commonmark", {"html": True}).enable("table")
    name = hostile(stranger[0])
    texts = [path.read_text() for path in written if path.suffix == ".md"]
    row = FailedRow(method=name, error=name)
    texts.append(
        comparison(
            ComparisonTable(
                directions={}, metrics={}, alone={}, rows=(row,), not_judged=(name,), seeds=1, cosines={}, tasks=()
            )
        )
    )
    assert len(texts) == 3
    for text in texts:
        for renderer in (lenient, strict):
            html = renderer.render(text)
            for tag in (
                "<img",
                "<a ",
                "<script",
                "<iframe",
                "<style",
                "<svg",
                "<strong>b",
                "<base",
                "<object",
                "<meta",
            ):
                assert tag not in html
            assert html.count("<h1>") <= 1  # the card's own
        assert "http://" not in re.sub(r"`[^`\n]*`", "", text)  # which some renderers make a link of; in code none does
    assert strict.renderInline(as_text("a_b 0.5 *x* <y> #1 http://z")) == "a_b 0.5 *x* &lt;y&gt; #1 http://z"
    assert strict.renderInline(as_code("a`<b>`|c")) == "<code>a'&lt;b&gt;'¦c</code>"
    assert [strict.render(as_text(text)) for text in ("# a", "1. b", "- c")] == [
        f"<p>{t}</p>\n" for t in ("# a", "1. b", "- c")
    ]


@pytest.mark.attack(boundary="data supplier", attack="a class named <script> on the endpoint's page")
def test_the_endpoints_page_shows_names_as_text(stranger: tuple[str, list[str]], tmp_path: Path) -> None:
    """The page with the header that the endpoint sends, beside answers that the stranger had made."""
    address, asked = stranger
    name, page = hostile(address), endpoint_page()
    header = policy(page, more=f"; connect-src {CONNECTS}; frame-ancestors 'none'")
    tasks = {"kind": {"type": "c", "serves": "label", "classes": [name], "unit": "", "auxiliary": False}}
    picture = tmp_path / "picture.png"
    picture.write_bytes(_picture())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/": page.encode(), "/model": json.dumps({"version": name, "tasks": tasks}).encode()}
            self._answer(known.get(self.path, b""), "text/html" if self.path == "/" else "application/json")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(json.dumps({"predictions": [{"kind": name, "kind_score": 0.5}]}).encode(), "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-security-policy", header)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *words: Any) -> None: ...

    with _served(Handler) as own, Browser(tmp_path) as browser:
        browser.open(own)
        browser.wait_for("document.getElementById('model').textContent.includes('kind')")
        browser.choose_file("#file", picture)
        browser.wait_for("!document.getElementById('answers').hidden")
        assert name[:40] in browser.evaluate("document.getElementById('answers').innerText")
        assert browser.evaluate("document.getElementById('picture').width") >= 100
        assert browser.evaluate("getComputedStyle(document.getElementById('drop')).cursor") == "pointer"
        browser.evaluate(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(name.replace('<meta', '<!--'))})")
        time.sleep(0.5)
        assert browser.problems() == []
    assert asked == []


@pytest.mark.attack(boundary="data supplier", attack="a formula in a cell of a CSV")
def test_cells_are_no_formulas(tmp_path: Path) -> None:
    formulas = [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        "'=1",
        "＝1",
        "'plain",
        "a=b",
        "''",
    ]

    class Curves:
        def curves(self) -> dict[str, list[dict[str, Any]]]:
            return {"confusion": [{"actual": name, "predicted": name} for name in formulas]}

    write_tables(tmp_path, EvalReport.model_construct(tasks={}), {"kind": Curves()})  # type: ignore[dict-item]
    table = dict.fromkeys(formulas, "train")
    write_table(tmp_path / "splits.csv", table, {name: name for name in formulas})
    for path in (tmp_path / "confusion.csv", tmp_path / "splits.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.lstrip(" ")[:1] in tuple("=+-@\t\r＝＋－＠")]
    assert {row.id: row.group for row in read_rows(tmp_path / "splits.csv")} == {name: name for name in formulas}


@pytest.mark.attack(boundary="data supplier", attack="escape sequences in a file's or a class's name")
def test_a_terminal_obeys_no_name() -> None:
    names = ("empty", "files", "annotations", "near_duplicates", "leaks", "wrong_extensions")
    lists: dict[str, Any] = {name: [] for name in names}
    more = {"notes": {ESCAPES: 1}, "divided_groups": {}, "first_of_many": [], "warnings": [f"{ESCAPES}\nwarning: none"]}
    problem = {"id": ESCAPES, "split": "", "reason": ESCAPES}
    result = {"samples": {"train": 1}, "quarantined": [problem], "num_annotations": 0, "copies_dropped": 0}
    result |= {
        "sizes": [],
        "num_near_duplicates": 0,
        "num_leaks": 0,
        "crowds": [],
        "plain": [["train", ESCAPES]],
        "suspects": _suspects(ESCAPES),
    }
    lines = as_lines(DataReport.model_validate(lists | more | result | {"balance": {ESCAPES: {ESCAPES: {"train": 1}}}}))
    assert not [line for line in lines if any(ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e" for c in line)]
    assert "\\x1b[31mred" in str(MtlError(ESCAPES, found=ESCAPES, fix=ESCAPES))
    assert "\x1b" not in str(MtlError(ESCAPES, found=ESCAPES, fix=ESCAPES))


@pytest.mark.attack(boundary="registry writer", attack="escape sequences in what the registry says")
def test_what_is_printed_has_no_escapes_but_our_colours() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream in (Terminal(), io.StringIO()):
        print(ESCAPES, file=Guarded(stream))  # type: ignore[call-overload]
        said = stream.getvalue()
        assert "\x07" not in said
        assert "\x9b" not in said
        assert "\x1b]" not in said
        assert "\x1b[8m" not in said
        assert "\u202e" not in said
        assert ("\x1b[31m" in said) == stream.isatty()
    bar = io.StringIO()
    Guarded(bar).write("\r 50 %\rdone")
    assert bar.getvalue() == "\r 50 %\\x0ddone"
