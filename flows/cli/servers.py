"""Pages, the schedule, and deployments for others to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass

app = typer.Typer()


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="port of the home page")] = 4100,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="port of the MLflow page")] = 5000,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535, help="port of the Prefect page")] = 4200,
) -> None:
    """Start the pages: the project's own, Prefect's and MLflow's.

    Ctrl-C ends them.
    """
    from flows.processes.pages import serve_pages
    from flows.settings import enter_checkout

    serve_pages(enter_checkout(), port, mlflow_port, prefect_port)


@app.command()
def serve() -> None:
    """Keep the schedule of params.yaml: one run at a time, until Ctrl-C."""
    from flows.settings import enter_checkout

    settings = enter_checkout()
    from flows.schedule.deployments import serve_schedule

    raise typer.Exit(serve_schedule(settings))


@app.command()
def deploy(
    pool: Annotated[str, typer.Option(help="name of the work pool; made if it is not there")] = "mtl",
    kind: Annotated[str, typer.Option(help="process or kubernetes")] = "process",
    image: Annotated[str, typer.Option(help="of a run in Kubernetes: name@sha256:…")] = "",
    repository: Annotated[str, typer.Option(help="what a run in Kubernetes clones")] = "",
    revision: Annotated[str, typer.Option(help="branch or commit of it")] = "",
    secret: Annotated[str, typer.Option(help="of Kubernetes: its keys are the run's environment")] = "mtl",
) -> None:
    """Register the schedule with a work pool, instead of `mtl serve`.

    Its workers start the runs.
    """
    from flows.schedule.work_pool import deploy as register
    from flows.settings import enter_checkout

    given = {"image": image, "repository": repository, "revision": revision, "secret": secret}
    for name in register(enter_checkout(), pool, kind, **given):
        typer.echo(f"deployed {name} to {pool}")
    if kind == "process":
        typer.echo(f"next     prefect worker start --pool {pool}")
