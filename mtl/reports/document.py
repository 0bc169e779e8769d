"""What self-contained pages have in common: the HTML around them, and figures as PNG."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = "table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}"


_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.S)


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


def with_policy(source: str) -> str:
    """A page's source, or a template's, with its policy at its beginning."""
    first = '<meta charset="utf-8">'
    assert first in source
    return source.replace(first, f'{first}<meta http-equiv="Content-Security-Policy" content="{policy(source)}">', 1)


def document(title: str, body: str, style: str = "", width: int = 1100) -> str:
    """An HTML document around a body. `style` is more CSS, `width` in pixels."""
    title, font = (
        escape(title),
        f"body{{font:15px/1.5 system-ui,sans-serif;max-width:{width}px;margin:2em auto;padding:0 1em}}",
    )
    head = f'<meta charset="utf-8"><title>{title}</title><style>{font}{style}</style>'
    return f'<!doctype html><html lang="en"><head>{with_policy(head)}</head><body>{body}</body></html>\n'


def as_png(figure: Figure) -> bytes:
    """A matplotlib figure, closed then; the same figure gives the same bytes. A dollar sign in a name is a dollar sign."""
    import matplotlib
    from matplotlib import pyplot as plt
    from matplotlib.text import Text

    with matplotlib.rc_context({"text.parse_math": False}):
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        figure.tight_layout()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
