"""`mtl retrain` and what stands around a run: the look at production, a person's yes, figures."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.completion import keys
from flows.cli.exit_codes import ExitCode
from flows.cli.options import AsJson, absolute

if TYPE_CHECKING:
    from mtl.reports.monitoring import Outcome

_LOG = logging.getLogger(__name__)
app = typer.Typer()


@app.command()
def retrain(
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="change a key of params.yaml for this run, e.g. train.epochs=2, or @FILE with sections",
            autocompletion=keys,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="run every stage again though nothing changed")] = False,
    reason: Annotated[str, typer.Option(help="why, kept with the version")] = "",
    override: Annotated[
        bool,
        typer.Option("--override", help="judge with other settings of the gate than the committed ones; needs --why"),
    ] = False,
    why: Annotated[str, typer.Option(help="reason for that, kept in the history")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object per line, the result at last")] = False,
) -> None:
    """Train and register a new version; promote it if the gate says so.

    The steps: fetch, prepare, train, evaluate, package, push, register, gate, promote. Unchanged inputs do nothing.
    """
    from flows.checkout.workspace import effective_params
    from flows.retraining.gate_settings import gate_changes
    from flows.run_log import say_step
    from flows.settings import enter_checkout, reach_prefect
    from flows.terminal import current
    from mtl.config.params import parse
    from mtl.output.redaction import redact
    from mtl.registry.fingerprint import fingerprint

    if as_json and (terminal := current()) is not None:
        terminal.use_json()
    settings = enter_checkout()
    reach_prefect(settings)
    chosen = absolute(overrides)
    params = effective_params(settings.root, chosen)
    config = parse(params)
    gate_changes(settings.root, params, override=override, why=why)
    if not force and settings.prefect_url is None:
        # An embedded server takes some 20 CPU-seconds to start: ask the registry first.
        from flows.checkout.installed import pin
        from flows.checks import QUICK, TRAINING, check
        from flows.retraining.arrivals import look_for_arrivals
        from flows.retraining.unchanged import find_registered, say_unchanged

        check(settings, config, QUICK, TRAINING)
        look_for_arrivals(settings, config)
        pin(settings.root)
        digest = fingerprint(settings.root, params)
        version = find_registered(settings, config, digest)
        if version is not None:
            say_unchanged(version, digest)
            return
    say_step("start", "running")  # Prefect's server and the imports: half a minute on a slow machine
    from prefect import tags

    from flows.checkout.project import project_of, tags_of

    if force or settings.prefect_url is None:
        from flows.checks import TRAINING, check

        check(settings, config, TRAINING)  # before a server is started
    from flows.processes.embedded import start_prefect
    from flows.retraining.flow import retrain as flow

    start_prefect(settings)
    with tags(*tags_of(project_of(settings, config))):
        flow(chosen, force, redact(reason), override, redact(why))


@app.command()
def metrics() -> None:
    """The pipeline's figures for Prometheus.

    Last run and success, champion, its metrics by task.
    """
    from flows.observe.metrics import exposition
    from flows.settings import enter_checkout

    typer.echo(exposition(enter_checkout()).decode(), nl=False)


@app.command()
def monitor(as_json: AsJson = False) -> None:
    """Compare new production images with what the champion was made with.

    Exit code 3: they have shifted; 1: nothing of them could be judged.
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
        _LOG.warning('next     mtl retrain --reason "…"')
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
    """Answer a retraining that waits for a person.

    Those of gate.approval_minutes do; the run says its id.
    """
    from flows.retraining.approval import answer
    from flows.settings import enter_checkout
    from mtl.registry.actor import actor

    enter_checkout()
    answer(run, approve=not no, who=actor(), why=why)
    typer.echo("answered: " + ("no" if no else "yes"))
