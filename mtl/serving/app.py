"""The packaged model behind HTTP, with Ray Serve: requests are batched, a page shows what it says of a dropped image.

    GET /            the page
    GET /model       version, tasks, their classes and units, limits
    GET /health      200 while a model answers
    POST /predict    one encoded image as the body, or {"images": ["<base64>", …]} → {"version", "predictions": […]}

Requests that are refused get a 4xx with {"error": {"what", "found", "fix"}}.
"""

# No postponed annotations here: Ray Serve builds the routes again, and then FastAPI no longer finds what they name.

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from ray import serve

from mtl.cluster import cluster
from mtl.config import Config, DataError
from mtl.reports.document import policy
from mtl.serving.admission import Admission, allowed_hosts, refuse_stranger
from mtl.serving.front import CALLBACK
from mtl.serving.requests import Limits, Refused, images_of, read_body

MAX_BATCH, WAIT_SECONDS = 32, 0.004
"""Images that are predicted together, and how long the first of them waits for others."""
LIMITS = Limits()
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
READERS = 2
"""Threads that look at what requests hold."""
app = FastAPI(title="mtl", docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(Refused)
async def refuse(_: Request, refusal: Any) -> JSONResponse:
    """A refusal as an answer."""
    return JSONResponse(refusal.body, status_code=refusal.status)


@serve.deployment
class Model:
    """A model in a process of its own."""

    def __init__(self, bundle: str, threads: int) -> None:
        import torch

        from mtl.package.predictor import Predictor

        torch.set_num_threads(threads)
        self.predictor = Predictor(Path(bundle))

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=WAIT_SECONDS)
    async def predict(self, images: list[bytes]) -> list[Any]:
        """One answer an image: its row, or why there is none."""
        answers = self.predictor.answers(images)
        return [{"error": answer.line} if isinstance(answer, DataError) else {"row": answer} for answer in answers]

    def describe(self) -> dict[str, Any]:
        """What the page must know of the tasks."""
        tasks = self.predictor.tasks
        return {
            name: {
                "type": task.config.type,
                "serves": "mask" if task.kind == "mask" else task.serves,
                "classes": list(task.target.classes),
                "unit": task.target.unit,
                "auxiliary": task.config.auxiliary,
            }
            for name, task in tasks.items()
        }


@serve.deployment
@serve.ingress(app)  # pyright: ignore[reportUntypedClassDecorator]
class Ingress:
    """Checks requests, and sends their images one by one to where they are batched."""

    def __init__(self, model: Any, version: str, hosts: frozenset[str]) -> None:
        self.model, self.version, self.hosts = model, version, hosts
        self.bytes = Admission("bytes", LIMITS.held_bytes, LIMITS)
        self.pixels = Admission("pixels", LIMITS.held_pixels, LIMITS)
        self.requests = Admission("requests", LIMITS.held_requests, LIMITS)
        self.readers = ThreadPoolExecutor(READERS)
        self.tasks: dict[str, Any] | None = None
        self.page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
        own = policy(self.page, more="; connect-src 'self' data:; frame-ancestors 'none'")
        self.headers = {"content-security-policy": own, **HEADERS}

    @app.get("/")
    async def show(self, request: Request) -> HTMLResponse:
        refuse_stranger(request.headers.items(), self.hosts)
        return HTMLResponse(self.page, headers=self.headers)

    @app.get("/health")
    async def health(self, request: Request) -> dict[str, str]:
        refuse_stranger(request.headers.items(), self.hosts)
        await self._tasks()
        return {"status": "ok", "version": self.version}

    @app.get("/model")
    async def describe(self, request: Request) -> dict[str, Any]:
        refuse_stranger(request.headers.items(), self.hosts)
        return {"version": self.version, "tasks": await self._tasks(), "limits": asdict(LIMITS)}

    @app.post("/predict")
    async def predict(self, request: Request) -> JSONResponse:
        refuse_stranger(request.headers.items(), self.hosts)
        caller = request.client.host if request.client else ""
        with self.requests.held(caller) as one, self.bytes.held(caller) as held, self.pixels.held(caller) as seen:
            one.more(1)
            body = await read_body(request.stream(), request.headers.get("content-length"), LIMITS, held.more)
            kind, loop = request.headers.get("content-type", ""), asyncio.get_running_loop()
            # Elsewhere than in the loop, which answers others in the meantime.
            images, pixels = await loop.run_in_executor(self.readers, images_of, kind, body, LIMITS)
            seen.more(pixels)
            answers: Any = await asyncio.gather(*(self.model.predict.remote(image) for image in images))
        for index, answer in enumerate(answers):
            if "error" in answer:
                raise Refused(400, f"image {index} cannot be used", found=answer["error"][:300])
        return JSONResponse({"version": self.version, "predictions": [answer["row"] for answer in answers]})

    async def _tasks(self) -> dict[str, Any]:
        known: dict[str, Any] = self.tasks or await self.model.describe.remote()
        self.tasks = known
        return known


def run_app(config: Config, job: dict[str, Any], ended: threading.Event) -> None:
    """Serve a bundle until the event is set.

    Args:
        job: bundle (a folder), version, host, port, replicas.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = CALLBACK  # of a local cluster; others have their own
    with cluster(config):
        quiet = {"log_level": "ERROR", "enable_access_log": False}
        times = {"request_timeout_s": LIMITS.answer_seconds, "keep_alive_timeout_s": int(LIMITS.header_seconds)}
        serve.start(http_options={"host": job["host"], "port": job["port"], **times}, logging_config=quiet)
        several: Any = Model
        entry: Any = Ingress
        # Requests wait here rather than being turned away: what is refused is refused for what it asks, or takes from
        # others. A slow body costs nothing but its bytes: were they counted here, a few hundred would stop /health.
        model = several.options(
            num_replicas=job["replicas"],
            ray_actor_options={"num_cpus": 0.5},
            logging_config=quiet,
            max_ongoing_requests=512,
        )
        front = entry.options(
            ray_actor_options={"num_cpus": 0.2}, logging_config=quiet, max_ongoing_requests=4 * LIMITS.held_requests
        )
        hosts = allowed_hosts(job["host"], os.environ.get("MTL_ENDPOINT_HOSTS", ""))
        bound = model.bind(job["bundle"], config.train.threads_per_worker)
        serve.run(front.bind(bound, job["version"], hosts), name="mtl")
        print(f"model    http://{job['host']}:{job['port']}  (version {job['version']})", flush=True)
        ended.wait()
        serve.shutdown()
