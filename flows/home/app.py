"""The home page and the pages of its project's folder, read-only.

GET /                    the project at one look
GET /versions/3          the report of version 3
GET /looks/<batch>       what a look at production images has found
GET /data                the data report
"""

from __future__ import annotations

import re
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from flows.home.links import Links
from flows.home.overview import Home
from flows.home.versions import charts
from mtl.output.terminal import harmless
from mtl.reports.document import document, own_policy, render

HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store"}
OWN = own_policy() + "; frame-ancestors 'none'"
KEPT = own_policy(any_style=True) + "; frame-ancestors 'none'"
"""Of pages that were written before, perhaps by an earlier version: besides the policy that stands in them."""
TEMPLATE = Path(__file__).with_name("home.html.j2")
_BATCH = re.compile(r"[0-9a-f]{8,64}")


def app_of(home: Home, links: Links) -> Starlette:
    """The pages as ASGI; who may see them is decided before."""
    folder = home.settings.home

    def show(_: Request) -> Response:
        return HTMLResponse(page(home, links), headers=HEADERS | {"content-security-policy": OWN})

    def version(request: Request) -> Response:
        return _kept(folder / "reports" / f"version-{request.path_params['number']}.html")

    def look(request: Request) -> Response:
        batch = request.path_params["batch"]
        return _kept(folder / "monitor" / batch / "page.html") if _BATCH.fullmatch(batch) else _not_here()

    def data(_: Request) -> Response:
        return _kept(folder / "check" / "report.html")

    routes = [
        Route("/", show),
        Route("/versions/{number:int}", version),
        Route("/looks/{batch}", look),
        Route("/data", data),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


def page(home: Home, links: Links) -> str:
    """HTML of the home page as everything is now."""
    found = home.overview()
    return render(
        TEMPLATE,
        f"{found.model}: home",
        found=found,
        links=links,
        charts=charts(found.versions.value or ()),
        clean=harmless,
        has_data=(home.settings.home / "check" / "report.html").exists(),
        reports={int(p.stem.split("-")[1]) for p in (home.settings.home / "reports").glob("version-[0-9]*.html")},
    )


def _kept(path: Path) -> Response:
    """A page that a command has written; links lead nowhere else."""
    if not path.is_file() or path.is_symlink():
        return _not_here()
    return HTMLResponse(path.read_bytes(), headers=HEADERS | {"content-security-policy": KEPT})


def _not_here() -> Response:
    text = document("Not here", "<h1>There is no such page</h1><p>It was not written yet, or is kept no longer.</p>")
    return HTMLResponse(text, 404, headers=HEADERS | {"content-security-policy": OWN})
