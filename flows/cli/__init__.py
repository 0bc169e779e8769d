"""The `mtl` command. Heavy imports happen inside the commands: `mtl --help` answers at once."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.data import AsJson, data
from flows.cli.stack import stack
from flows.versions.registry_commands import registry

if TYPE_CHECKING:
    from mtl.reports.monitoring import Outcome

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Retrain, register and promote multi-task vision models.",
)
app.add_typer(data, name="data")
app.add_typer(stack, name="stack")
app.add_typer(registry, name="registry")


@app.callback()
def everywhere(
    unverified: Annotated[
        bool,
        typer.Option("--unverified", help="let through what nobody who is trusted has signed (MTL_UNVERIFIED=allow)"),
    ] = False,
) -> None:
    """Retrain, register and promote multi-task vision models."""
    if unverified:
        os.environ["MTL_UNVERIFIED"] = "allow"


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
    of them could be judged)."""
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
        raise typer.Exit(3)
    if found.state == "unjudged":
        raise typer.Exit(1)


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
def promote(
    version: Annotated[int, typer.Argument(help="number of the version")],
    override: Annotated[bool, typer.Option("--override", help="though the gate refuses; needs --why")] = False,
    why: Annotated[str, typer.Option(help="reason, kept in the history")] = "",
) -> None:
    """Make a version champion, if the gate lets it in: it is compared with the present champion first."""
    from flows.settings import enter_checkout
    from flows.versions.champion import promote as make_champion

    decision, entry = make_champion(enter_checkout(), version, override=override, why=why)
    for rule in decision.rules:
        typer.echo(f"{'yes' if rule.passed else 'NO ':<4} {rule.name}: required {rule.required}, found {rule.found}")
    if entry is None:
        typer.secho(f"version {version} was not promoted: {decision.summary}", fg="yellow", err=True)
        raise typer.Exit(1)
    typer.echo(f"version {entry.to} is champion, in place of {entry.replaces or 'none'}")


@app.command()
def rollback(
    to: Annotated[int | None, typer.Option(help="an earlier champion; the one before if not said")] = None,
    why: Annotated[str, typer.Option(help="reason, kept in the history")] = "",
) -> None:
    """Make an earlier champion champion again."""
    from flows.settings import enter_checkout
    from flows.versions.champion import roll_back

    entry = roll_back(enter_checkout(), to, why)
    typer.echo(f"version {entry.to} is champion again, in place of {entry.replaces}")


@app.command()
def history(as_json: AsJson = False) -> None:
    """Every change of the champion: when, who, from, to, why."""
    from flows.settings import enter_checkout
    from flows.versions.champion import history as changes
    from mtl.output.terminal import one_line

    found = changes(enter_checkout())
    if as_json:
        typer.echo(json.dumps([entry.as_json() for entry in found], indent=1))
        return
    for entry in found:
        line = (
            f"{entry.when}  {entry.replaces or '-':>4} → {entry.to or '-':<4} {entry.kind:<10} {entry.who:<12} "
            f"{entry.why.splitlines()[0] if entry.why else ''}"
            + (f" (UNVERIFIED, does not count: {entry.unverified})" if entry.unverified is not None else "")
        )
        typer.echo(one_line(line))


@app.command()
def adopt(
    versions: Annotated[
        list[int] | None, typer.Argument(help="numbers of versions; all that are unverified by default")
    ] = None,
) -> None:
    """Sign what nobody who is trusted has signed, as the registry has it now: look at it first. Needs mtl --unverified."""
    from flows.registry.adoption import adopt as sign_for
    from flows.settings import enter_checkout

    for number in sign_for(enter_checkout(), versions or []):
        typer.echo(f"version {number} is signed")


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


@app.command()
def lineage(
    version: Annotated[int, typer.Argument(help="number of the version")],
    as_json: AsJson = False,
    html: Annotated[str, typer.Option(help="write a page to this file")] = "",
) -> None:
    """Where a version comes from: sources, data, code, params, machine, runs, decisions."""
    from pathlib import Path

    from flows.registry.lineage import collect, page, show
    from flows.settings import enter_checkout

    found = collect(enter_checkout(), version)
    if html:
        page(found, Path(html))
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else show(found))


@app.command()
def diff(
    first: Annotated[int, typer.Argument(help="number of a version")],
    second: Annotated[int, typer.Argument(help="number of another")],
    images: Annotated[list[str] | None, typer.Option(help="images on which both predict")] = None,
    out: Annotated[str, typer.Option(help="folder of the predictions and their picture")] = "",
    as_json: AsJson = False,
) -> None:
    """What differs between two versions: params, data, code, metrics with intervals, predictions."""
    from flows.settings import enter_checkout
    from flows.versions.diff import diff as compare_versions
    from flows.versions.diff import show

    found = compare_versions(enter_checkout(), first, second, images or [], out)
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else show(found))


@app.command()
def reproduce(
    version: Annotated[int, typer.Argument(help="number of the version")],
    as_json: AsJson = False,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="with another key of its params")] = None,
    here: Annotated[bool, typer.Option("--here", help="with this checkout's code, params and data instead")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="leave the folder in which it was built")] = False,
) -> None:
    """Build a registered version again from what is kept of it: identical, or exactly what differs (exit code 1)."""
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from flows.versions.reproduce import reproduce as build
    from flows.versions.reproduce import show

    settings = enter_checkout()
    show_lines().all_to_stderr = True
    result = build(settings, version, overrides=absolute(overrides), here=here, keep=keep)
    typer.echo(json.dumps(result, indent=1) if as_json else show(result))
    if result["verdict"] != "identical":
        raise typer.Exit(1)


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="files, folders, patterns, archives, s3://…")],
    out: Annotated[str, typer.Option(help="folder or bucket of the results")],
    model: Annotated[str, typer.Option(help="champion, challenger or a version's number")] = "champion",
    formats: Annotated[str, typer.Option("--format", help="parquet, coco, masks, overlays; with commas")] = "parquet",
    as_json: AsJson = False,
) -> None:
    """Predict many images with Ray Data; run it again to go on where it was stopped."""
    from flows.settings import enter_checkout
    from flows.versions.predict import predict as run

    found = run(enter_checkout(), [model], images, out, [name for name in formats.split(",") if name])
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
        return
    counts = found.counts
    typer.echo(f"{counts.images} images by version {found.versions[0]}, {counts.made} of them now: {found.out}")
    if counts.failed:
        typer.secho(f"{counts.failed} could not be read: see the column `_error`", fg="yellow", err=True)


@app.command()
def shadow(
    images: Annotated[list[str], typer.Argument(help="files, folders, patterns, archives, s3://…")],
    out: Annotated[str, typer.Option(help="folder of the results")],
    model: Annotated[str, typer.Option(help="who is compared with the champion")] = "challenger",
    as_json: AsJson = False,
) -> None:
    """Let the challenger predict beside the champion, and see where they disagree."""
    from flows.settings import enter_checkout
    from flows.versions.predict import predict as run
    from flows.versions.predict import show_disagreement

    found = run(enter_checkout(), ["champion", model], images, out, ["parquet"])
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else show_disagreement(found))


@app.command()
def package(
    out: Annotated[str, typer.Option(help="folder that is made")],
    model: Annotated[str, typer.Option(help="champion, challenger or a version's number")] = "champion",
) -> None:
    """Bring a version's package, verified, into a folder: for mlflow models serve -m FOLDER, which verifies nothing."""
    from pathlib import Path

    from flows.settings import enter_checkout
    from flows.versions.predict import bring

    typer.echo(f"{out}: version {bring(enter_checkout(), model, Path(out))}")


@app.command()
def endpoint(
    model: Annotated[str, typer.Option(help="champion, challenger or a version's number")] = "champion",
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8000,
    replicas: Annotated[int, typer.Option(help="processes with a model each")] = 1,
) -> None:
    """Serve a registered version over HTTP, with a page to drop images on, until Ctrl-C."""
    from flows.settings import enter_checkout
    from flows.versions.endpoint import serve_endpoint

    serve_endpoint(enter_checkout(), model, host, port, replicas)


@app.command()
def backup(
    target: Annotated[str, typer.Argument(help="folder or bucket of the back-ups")],
    as_json: AsJson = False,
) -> None:
    """Copy the registry (MLflow's database and artifacts); what an earlier back-up holds is not copied again."""
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from flows.versions.backup import back_up

    settings = enter_checkout()
    show_lines().all_to_stderr = as_json
    found = back_up(settings, target)
    if as_json:
        typer.echo(json.dumps(found, indent=1))


@app.command()
def restore(
    source: Annotated[str, typer.Argument(help="folder or bucket of the back-ups")],
    name: Annotated[str, typer.Option(help="which one; the last whole one if not said")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="give up the versions that the registry has now")] = False,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="whoever made it: the place is one's own")] = False,
) -> None:
    """Bring a back-up of the registry back, once all of it was verified."""
    from flows.settings import enter_checkout
    from flows.versions.backup import restore as bring_back

    bring_back(enter_checkout(), source, name or None, replace=replace, unsigned=unsigned)


@app.command()
def clean(yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False) -> None:
    """Remove what `retention` in params.yaml keeps no longer: old versions, runs, reports, their data, room in databases."""
    from flows.checkout.workspace import alone
    from flows.registry.load import load_registry
    from flows.registry.retention import carry_out, plan, shrink
    from flows.settings import enter_checkout

    settings = enter_checkout()
    with alone(settings):
        config, registry = load_registry(settings)
        going = plan(settings, config, registry)
        for line in going.lines() or ["nothing is older than retention says"]:
            typer.echo(line)
        if going.lines() and (yes or typer.confirm("remove?")):
            carry_out(settings, config, registry, going)
            typer.echo("removed")
        elif not going.lines():
            shrink(settings)


@app.command()
def keys(
    declare: Annotated[
        bool, typer.Option("--declare", help="write the public one into the checkout, to be committed")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Who signs here, whose signatures count, and by whom the registry's versions are signed."""
    from flows.registry.keys import collect, show
    from flows.registry.keys import declare as write
    from flows.settings import enter_checkout

    settings = enter_checkout()
    if declare:
        typer.echo(f"declared     {write(settings)} (git add, git commit)", err=as_json)
    found = collect(settings)
    typer.echo(json.dumps(found, indent=1) if as_json else show(found))


@app.command()
def mend(version: Annotated[int, typer.Argument(help="number of the version")]) -> None:
    """Bring a version's package back that was damaged in the registry: from a verified copy, or the DVC cache or remote."""
    from flows.registry.mending import mend as put_back
    from flows.settings import enter_checkout

    typer.echo(put_back(enter_checkout(), version))


@app.command()
def relocate() -> None:
    """After a home or checkout was moved, renamed or copied: let the registry's addresses be those of this place."""
    from flows.registry.relocation import relocate as rewrite
    from flows.settings import enter_checkout

    typer.echo(rewrite(enter_checkout()).line())


@app.command("list")
def list_choices(as_json: AsJson = False) -> None:
    """What params.yaml can choose from."""
    from mtl.config.choices import choices

    found = choices()
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for kind, members in found.items():
        typer.secho(kind, bold=True)
        for name, line in members.items():
            typer.echo(f"  {name:<16}{line}")


@app.command()
def ui(
    mlflow_port: Annotated[int, typer.Option(help="port of the MLflow page")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="port of the Prefect page")] = 4200,
) -> None:
    """Start the Prefect and MLflow pages and name them; Ctrl-C ends them."""
    from flows.processes.ui import serve_pages
    from flows.settings import enter_checkout

    serve_pages(enter_checkout(), mlflow_port, prefect_port)


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
    """Register the schedule with a work pool, whose workers start its runs, instead of `mtl serve`."""
    from flows.schedule.work_pool import deploy as register
    from flows.settings import enter_checkout

    given = {"image": image, "repository": repository, "revision": revision, "secret": secret}
    for name in register(enter_checkout(), pool, kind, **given):
        typer.echo(f"deployed {name} to {pool}")
    if kind == "process":
        typer.echo(f"next     prefect worker start --pool {pool}")


@app.command()
def baselines(as_json: AsJson = False) -> None:
    """Train one model per task with the same budget, and compare: Δm per task and overall."""
    from flows.comparison.baselines import run_baselines
    from flows.run_log import show_lines
    from flows.settings import enter_checkout

    settings = enter_checkout()
    show_lines().all_to_stderr = True
    run_baselines(settings, as_json)


@app.command()
def compare(
    weightings: Annotated[str, typer.Option(help="names with commas, or all")] = "all",
    aggregators: Annotated[str, typer.Option(help="names with commas, or all")] = "all",
    seeds: Annotated[int, typer.Option(help="trainings of each method at each rate")] = 3,
    rates: Annotated[str, typer.Option(help="learning rates with commas; the declared one by default")] = "",
    static: Annotated[int, typer.Option(help="random vectors of static weights that are tried")] = 4,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="change a key of params.yaml")] = None,
    out: Annotated[str, typer.Option(help="folder of the table and the pictures")] = "",
    as_json: AsJson = False,
) -> None:
    """Compare multi-task methods, single-task baselines and static weights over the same grid, in one table."""
    from pathlib import Path

    from flows.comparison.compare import run_compare
    from flows.run_log import show_lines
    from flows.settings import enter_checkout

    settings = enter_checkout()
    show_lines().all_to_stderr = True
    wanted = {
        "weightings": [w for w in weightings.split(",") if w],
        "aggregators": [a for a in aggregators.split(",") if a],
        "learning_rates": [float(r) for r in rates.split(",") if r],
        "seeds": seeds,
        "static": static,
    }
    folder = Path(out) if out else settings.home / "comparisons" / "latest"
    run_compare(settings, wanted, absolute(overrides), folder, as_json)


def absolute(overrides: list[str] | None) -> list[str]:
    """The files that overrides name, found from where the command was called."""
    from pathlib import Path

    return [f"@{Path(o[1:]).resolve()}" if o.startswith("@") else o for o in overrides or []]


def main() -> None:
    """Entry point: a user's error is printed without a traceback and ends with code 2."""
    from flows.run_log import show_lines
    from mtl.config.credentials import refuse_credentials
    from mtl.errors import MtlError
    from mtl.output.terminal import guard
    from mtl.surroundings import name_user, open_streams, trouble_with_disk

    open_streams()
    name_user()
    guard()
    # Whoever ends this process (a supervisor, `kill`) ends what it started, as Ctrl-C does.
    for wanted in (signal.SIGTERM, signal.SIGINT):  # a shell ignores SIGINT for what it starts in the background
        signal.signal(wanted, signal.default_int_handler)
    try:
        show_lines()
        refuse_credentials(sys.argv[1:])
        result: object = app(standalone_mode=False)
    except MtlError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort) as error:
        if isinstance(error, typer.Abort) and error.__cause__ is None:  # a question that nobody answered
            typer.secho("no answer: nothing was changed (--yes answers yes)", fg="yellow", err=True)
            sys.exit(1)
        typer.secho("stopped; run again to go on from the last checkpoint", fg="yellow", err=True)
        sys.exit(130)
    except BrokenPipeError:  # whoever read it has read enough: mtl history | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except Exception as error:
        import click

        if isinstance(error, click.ClickException):
            error.show()
            sys.exit(error.exit_code)
        if disk := trouble_with_disk(error):
            typer.secho(f"error: {disk}", fg="red", err=True)
            sys.exit(2)
        raise
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
