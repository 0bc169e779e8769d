"""What all pages have in common: one template, one style sheet, one script, all in the page, and what it may load."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from html import escape, unescape
from pathlib import Path

from markupsafe import Markup

_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.S)
_PARTS = re.compile(r"(<h2[^>]*>.*?</h2>|<h3[^>]*>.*?</h3>|<table|</table>)", re.S)
_TAG = re.compile(r"<[^>]*>")


def policy(source: str, *, more: str = "") -> str:
    """A content security policy for a page: the styles and scripts that stand in this source, pictures that are in the page, and
    nothing else; nothing is loaded from anywhere.

    Args:
        source: the page before what others wrote is put into it, or the allowed would be theirs.
        more: directives of a page that a server of ours sends.
    """
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for kind, text in _INLINE.findall(source):
        hashes[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
    inline = "".join(f"; {kind}-src {' '.join(found)}" for kind, found in hashes.items() if found)
    return f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'{inline}{more}"


def render(template: Path, title: str, **values: object) -> str:
    """A page whose content a template of Jinja's makes; every value is escaped, but for markup of our own."""
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    folders = [template.parent, Path(__file__).parent]
    escaped = select_autoescape(default=True, default_for_string=True)
    environment = Environment(autoescape=escaped, loader=FileSystemLoader(folders), trim_blocks=True)
    return document(title, environment.get_template(template.name).render(values))


def document(title: str, body: str, *, script: str = "", connects: str = "") -> str:
    """An HTML document around a body: contents at the side (a menu on phones) if it has sections, tables that scroll inside
    themselves.

    Args:
        body: HTML, in which what others wrote is escaped; each `h2` begins a section.
        script: of this page, besides that of all.
        connects: what its scripts may ask (`connect-src`); nothing by default.
    """
    from jinja2 import Environment

    contents, marked = _outlined(body)
    layout = Environment(autoescape=True).from_string(_text("layout.html.j2"))
    return layout.render(
        title=title,
        policy=Markup(own_policy(script) + (f"; connect-src {connects}" if connects else "")),
        style=Markup(_text("page.css")),
        scripts=[Markup(one) for one in _scripts(script)],
        contents=contents if len(contents) > 1 else [],
        body=Markup(marked),
    )


def own_policy(script: str = "", *, any_style: bool = False) -> str:
    """What pages of `document` may load: their style and their scripts.

    Args:
        any_style: theirs of an earlier version, too.
    """
    scripts = "".join(f"<script>{one}</script>" for one in _scripts(script))
    if any_style:
        return policy(scripts, more="; style-src 'unsafe-inline'")
    return policy(f"<style>{_text('page.css')}</style>{scripts}")


def _scripts(own: str) -> list[str]:
    return [_text("page.js"), own] if own else [_text("page.js")]


@cache
def _text(name: str) -> str:
    """Of a file beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _outlined(body: str) -> tuple[list[tuple[str, str]], str]:
    """[anchor, title] of each section, and the body with the anchors in it and a frame around each table in which it scrolls."""
    contents: list[tuple[str, str]] = []

    def parts() -> Iterator[str]:
        heading = "table"
        for part in _PARTS.split(body):
            if part.startswith(("<h2", "<h3")):
                heading = unescape(_TAG.sub("", part)).strip()
            if part.startswith("<h2"):
                anchor = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
                anchor = f"s{len(contents) + 1}-{anchor}"[:60]
                contents.append((anchor, heading))
                yield part.replace("<h2", f'<h2 id="{anchor}"', 1)
            elif part == "<table":
                yield f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(heading)}"><table'
            else:
                yield f"{part}</div>" if part == "</table>" else part

    marked = "".join(parts())
    return contents, marked
