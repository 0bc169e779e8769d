"""`mtl retrain` and what stands around a run: the look at production, a person's yes, figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.exit_codes import ExitCode
from flows.cli.options import AsJson, absolute

if TYPE_CHECKING:
    from mtl.reports.monitoring import Outcome

app = typer.Typer()


@app.command()
def retrain(
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="change a key of params.yaml for this run, e.g. train.epochs=2, or @FILE with sections"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="run every stage again though nothing changed")] = False,
    reason: Annotated[str, typer.Option(help="why, kept with the version")] = "",
    override: Annotated[
        bool,
        typer.Option("--override", help="judge with other settings of the gate than the committed ones; needs --why"),
    ] = False,
    why: Annotated[str, typer.Option(help="reason for that, kept in the history")] = "",
) -> None:
    """Fetch, prepare, train, evaluate, package, register, and promote if the gate says so."""
    from flows.checkout.workspace import effective_params
    from flows.retraining.gate_settings import gate_changes
    from flows.settings import enter_checkout, reach_prefect
    from mtl.config.params import parse
    from mtl.output.redaction import redact
    from mtl.registry.fingerprint import fingerprint

    settings = enter_checkout()
    reach_prefect(settings)
    chosen = absolute(overrides)
    params = effective_params(settings.root, chosen)
    config = parse(params)
    gate_changes(settings.root, params, override=override, why=why)
    if not force and settings.prefect_url is None:
        # An embedded server takes some 20 CPU-seconds to start: ask the registry first.
        from flows.checks import QUICK, TRAINING, check
        from flows.retraining.arrivals import look_for_arrivals
        from flows.retraining.unchanged import find_registered, unchanged_line

        check(settings, config, QUICK, TRAINING)
        look_for_arrivals(settings, config)
        digest = fingerprint(settings.root, params)
        version = find_registered(settings, config, digest)
        if version is not None:
            typer.echo(unchanged_line(version, digest))
            return
    from prefect import tags

    from flows.checkout.project import project_of, tags_of

    if force or settings.prefect_url is None:
        from flows.checks import TRAINING, check

        check(settings, config, TRAINING)  # before a server is started
    from flows.retraining.flow import retrain as flow

    with tags(*tags_of(project_of(settings, config))):
        flow(chosen, force, redact(reason), override, redact(why))


@app.command()
def metrics() -> None:
    """The pipeline's figures for Prometheus: last run and success, champion, its metrics by task."""
    from flows.observe.metrics import exposition
    from flows.settings import enter_checkout

    typer.echo(exposition(enter_checkout()).decode(), nl=False)


@app.command()
def monitor(as_json: AsJson = False) -> None:
    """Compare the production images that are new with what the champion was made with (exit code 3: they have shifted; 1: nothing
    of them could be judged).
    """
    from flows.retraining.monitor import look
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from mtl.config.params import load

    settings = enter_checkout()
    show_lines().all_to_stderr = as_json

    def tell(model: str, result: Outcome, batch: str) -> None:
        """The exit code tells it: there may be no server for an event."""

    found = look(settings, load(settings.root / "params.yaml"), tell)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    elif found.page:
        typer.echo(f"report   {found.page}")
    if found.state == "event":
        typer.echo('next     mtl retrain --reason "…"', err=True)
        raise typer.Exit(ExitCode.SHIFTED)
    if found.state == "unjudged":
        raise typer.Exit(ExitCode.NO)


@app.command()
def status(as_json: AsJson = False) -> None:
    """The champion, the challenger and the last run."""
    from flows.observe.status import collect, show
    from flows.settings import enter_checkout

    found = collect(enter_checkout())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        show(found)


@app.command()
def approve(
    run: Annotated[str, typer.Argument(help="id of the flow run that waits")],
    no: Annotated[bool, typer.Option("--no", help="the version must not become champion")] = False,
    why: Annotated[str, typer.Option(help="reason, kept in the history")] = "",
) -> None:
    """Answer a retraining that waits for a person (gate.approval_minutes)."""
    from flows.retraining.approval import answer
    from flows.settings import enter_checkout
    from mtl.registry.actor import actor

    enter_checkout()
    answer(run, approve=not no, who=actor(), why=why)
    typer.echo("answered: " + ("no" if no else "yes"))
