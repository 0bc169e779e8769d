"""The packaged model behind HTTP: what comes is checked here, and answered by whichever version is loaded.

    GET /                    the page
    GET /model               version, tasks, their classes and units, limits
    GET /live /ready         200 while it runs; 200 while it answers predictions, with what keeps it from the version it follows
    GET /metrics             figures for Prometheus
    POST /predict            one encoded image as the body, or {"images": ["<base64>", …]} → {"version", "predictions": […]}
    POST /invocations        the same in MLflow's scoring protocol → {"predictions": […]}; GET /ping /health /version are its, too

Requests that are refused get a 4xx with {"error": {"what", "found", "fix"}}.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version as version_of
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mtl.reports.document import policy
from mtl.serving.admission import Admission, refuse_stranger
from mtl.serving.figures import Figures
from mtl.serving.limits import Limits, Refused
from mtl.serving.model import Model
from mtl.serving.page import CONNECTS, page
from mtl.serving.requests import images_of, read_body

HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
READERS = 2
"""Threads that look at what requests hold."""
RETRY = {"retry-after": "1"}
Handler = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """What is served at this time, and how requests for it are answered.

    Args:
        hosts: names under which it is called.
    """

    def __init__(self, hosts: frozenset[str], limits: Limits | None = None) -> None:
        self.hosts, self.limits = hosts, limits or Limits()
        self.model: Model | None = None
        self.behind = ""
        """Why it does not serve the version that it is to serve, if so."""
        self.leaving = False
        """It is to end: what was accepted is answered, and nothing else."""
        self.open = 0
        """Requests that were accepted and are not answered yet."""
        self.figures = Figures()
        self._draining = set[asyncio.Task[None]]()
        self._bytes = Admission("bytes", self.limits.held_bytes, self.limits)
        self._pixels = Admission("pixels", self.limits.held_pixels, self.limits)
        self._requests = Admission("requests", self.limits.held_requests, self.limits)
        self._readers = ThreadPoolExecutor(READERS)
        self._page = page()
        own = policy(self._page, more=f"; connect-src {CONNECTS}; frame-ancestors 'none'")
        self._headers = {"content-security-policy": own, **HEADERS}

    def put(self, model: Model) -> Model | None:
        """Let a model that has been started answer; the one before it ends once it has answered all that it was asked."""
        before, self.model, self.behind = self.model, model, ""
        if before is not None:
            self.figures.swaps.inc()
            task = asyncio.create_task(before.drain(self.limits.answer_seconds))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
        return before

    async def close(self, seconds: float) -> None:
        """Wait until all that was accepted is answered, so long at most, and end the models."""
        deadline = time.monotonic() + seconds
        while self.open and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        if self.model is not None:
            self.model.stop()
        self._readers.shutdown(wait=False, cancel_futures=True)

    def app(self) -> Starlette:
        """As ASGI."""
        pages: dict[str, Handler] = {"/": self._show, "/model": self._describe}
        pages |= {"/health": self._health, "/ping": self._ping}  # some share out requests by them
        probes: dict[str, Handler] = {"/live": self._live, "/ready": self._ready, "/metrics": self._metrics}
        probes |= {"/version": self._version}
        posts: dict[str, Handler] = {"/predict": self._predict, "/invocations": self._invocations}
        routes = [Route(path, self._guarded(path, h), methods=["GET", "OPTIONS"]) for path, h in pages.items()]
        routes += [Route(p, self._guarded(p, h, probe=True), methods=["GET", "OPTIONS"]) for p, h in probes.items()]
        routes += [Route(path, self._guarded(path, h), methods=["POST", "OPTIONS"]) for path, h in posts.items()]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _not_here, Exception: _failed})
        app.router.redirect_slashes = False  # to an address of the caller's making
        return app

    def _guarded(self, path: str, handler: Handler, *, probe: bool = False) -> Handler:
        """A handler for those who may call it, counted.

        Args:
            probe: it is answered to the end.
        """

        async def answer(request: Request) -> Response:
            began = time.perf_counter()
            try:
                response = await self._taken(request, handler, probe)
            except Refused as refusal:
                response = _json(refusal.body, refusal.status, RETRY if refusal.status == 503 else None)
            self.figures.requests.labels(path, response.status_code).inc()
            self.figures.seconds.labels(path).observe(time.perf_counter() - began)
            if self.leaving:
                response.headers["connection"] = "close"
            return response

        return answer

    async def _taken(self, request: Request, handler: Handler, probe: bool) -> Response:
        refuse_stranger(request.headers.items(), self.hosts)
        if request.method == "OPTIONS":
            allowed = "POST, OPTIONS" if handler in (self._predict, self._invocations) else "GET, HEAD, OPTIONS"
            return Response(status_code=204, headers={"allow": allowed})
        if probe:
            return await handler(request)
        if self.leaving:
            raise Refused(503, "the endpoint is ending", fix="call another one")
        self.open += 1
        try:
            return await handler(request)
        finally:
            self.open -= 1

    async def _show(self, _: Request) -> Response:
        return HTMLResponse(self._page, headers=self._headers)

    async def _describe(self, _: Request) -> Response:
        model = self._loaded()
        return _json({"version": str(model.version), "tasks": model.tasks, "limits": asdict(self.limits)})

    async def _live(self, _: Request) -> Response:
        return _json({"status": "live"})

    async def _ready(self, _: Request) -> Response:
        """Not while it is ending: whoever shares out requests is to send no more here."""
        version = str(self.model.version) if self.model else None
        state = "ending" if self.leaving else "ready" if version else "loading"
        return _json({"status": state, "version": version, "behind": self.behind}, 200 if state == "ready" else 503)

    async def _health(self, _: Request) -> Response:
        return _json({"status": "ok", "version": str(self._loaded().version)})

    async def _ping(self, _: Request) -> Response:
        self._loaded()
        return Response("\n", media_type="text/plain")

    async def _version(self, _: Request) -> Response:
        return Response(version_of("mlflow"), media_type="text/plain")

    async def _metrics(self, _: Request) -> Response:
        self.figures.open.set(self.open)
        self.figures.version.set(self.model.version if self.model else 0)
        self.figures.ready.set(self.model is not None and not self.leaving)
        self.figures.behind.set(bool(self.behind))
        return Response(self.figures.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _predict(self, request: Request) -> Response:
        version, rows = await self._rows(request)
        return _json({"version": version, "predictions": rows}, headers={"x-model-version": version})

    async def _invocations(self, request: Request) -> Response:
        version, rows = await self._rows(request)
        return _json({"predictions": rows}, headers={"x-model-version": version})

    async def _rows(self, request: Request) -> tuple[str, list[Any]]:
        """What one version says of a request's images."""
        self._loaded()
        caller = request.client.host if request.client else ""
        with (
            self._requests.held(caller) as one,
            self._bytes.held(caller) as held,
            self._pixels.held(caller) as seen,
        ):
            one.more(1)
            body = await read_body(request.stream(), request.headers.get("content-length"), self.limits, held.more)
            kind, loop = request.headers.get("content-type", ""), asyncio.get_running_loop()
            # Elsewhere than in the loop, which answers others in the meantime.
            images, pixels = await loop.run_in_executor(self._readers, images_of, kind, body, self.limits)
            seen.more(pixels)
            model = self._loaded()  # by now, perhaps, another
            try:
                async with asyncio.timeout(self.limits.answer_seconds):
                    answers = await model.predict(images)
            except TimeoutError:
                raise Refused(503, "the endpoint is busy", found="no answer in time", fix="ask again later") from None
        for index, answer in enumerate(answers):
            if "error" in answer:
                raise Refused(400, f"image {index} cannot be used", found=answer["error"][:300])
        self.figures.images.inc(len(images))
        return str(model.version), [answer["row"] for answer in answers]

    def _loaded(self) -> Model:
        if self.model is None:
            raise Refused(503, "no model is loaded yet", fix="wait until /ready says so")
        return self.model


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


async def _not_here(request: Request, error: Exception) -> Response:
    """No such path, or not in this way."""
    assert isinstance(error, HTTPException)
    fix = "POST /predict or /invocations; GET /model, /ready, /live, /metrics"
    what = "there is nothing here" if error.status_code == 404 else "not in this way"
    refusal = Refused(error.status_code, what, found=f"{request.method} {request.url.path}"[:100], fix=fix)
    return _json(refusal.body, error.status_code, dict(error.headers or {}))


async def _failed(_: Request, error: Exception) -> Response:
    return _json(Refused(500, "the endpoint failed", found=type(error).__name__, fix="see its log").body, 500)
