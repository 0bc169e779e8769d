"""A registered version at work: on many images, beside another, in a folder, behind HTTP."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.completion import models
from flows.cli.options import AsJson, Port

if TYPE_CHECKING:
    pass

_LOG = logging.getLogger(__name__)
app = typer.Typer()
Model = Annotated[str, typer.Option(help="champion, challenger or a version's number", autocompletion=models)]


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="files, folders, patterns, archives, s3://…")],
    out: Annotated[str, typer.Option(help="folder or bucket of the results")],
    model: Model = "champion",
    formats: Annotated[str, typer.Option("--format", help="parquet, coco, masks, overlays; with commas")] = "parquet",
    as_json: AsJson = False,
) -> None:
    """Predict many images; run it again to go on where it was stopped."""
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from flows.versions.predict import predict as run

    show_lines().all_to_stderr = True
    found = run(enter_checkout(), [model], images, out, [name for name in formats.split(",") if name])
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
        return
    counts = found.counts
    typer.echo(f"{counts.images} images by version {found.versions[0]}, {counts.made} of them now: {found.out}")
    if counts.failed:
        _LOG.warning(f"{counts.failed} could not be read: see the column `_error`")


@app.command()
def shadow(
    images: Annotated[list[str], typer.Argument(help="files, folders, patterns, archives, s3://…")],
    out: Annotated[str, typer.Option(help="folder of the results")],
    model: Annotated[str, typer.Option(help="who is compared with the champion", autocompletion=models)] = "challenger",
    as_json: AsJson = False,
) -> None:
    """Predict with challenger and champion, and see where they differ."""
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from flows.versions.predict import predict as run
    from flows.versions.predict import show_disagreement

    show_lines().all_to_stderr = True
    found = run(enter_checkout(), ["champion", model], images, out, ["parquet"])
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else show_disagreement(found))


@app.command()
def package(
    out: Annotated[str, typer.Option(help="folder that is made")],
    model: Model = "champion",
) -> None:
    """Bring a version's package, verified, into a folder.

    For mlflow models serve -m FOLDER, which verifies nothing.
    """
    from pathlib import Path

    from flows.settings import enter_checkout
    from flows.versions.predict import bring

    typer.echo(f"{out}: version {bring(enter_checkout(), model, Path(out))}")


@app.command()
def endpoint(
    model: Model = "champion",
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Port = 8000,
    replicas: Annotated[int, typer.Option(min=1, help="processes with a model each")] = 1,
) -> None:
    """Serve a version over HTTP, with a page to drop images on.

    Until Ctrl-C.
    """
    from flows.settings import enter_checkout
    from flows.versions.endpoint import serve_endpoint

    serve_endpoint(enter_checkout(), model, host, port, replicas)
