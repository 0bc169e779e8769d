"""`mtl data`: from files of one's own to a running retraining."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.exit_codes import ExitCode
from flows.cli.options import AsJson

if TYPE_CHECKING:
    from mtl.data.inspect.report import DataReport

data = typer.Typer(no_args_is_help=True, help="Data of your own: recognise, check, split, look at, clean up.")


@data.command()
def init(
    path: Annotated[str, typer.Argument(help="folder, archive or URL of the data")],
    yes: Annotated[bool, typer.Option("--yes", help="write without asking")] = False,
    model: Annotated[str, typer.Option(help="registry.model from now on: other tasks are another model")] = "",
    as_json: AsJson = False,
) -> None:
    """Recognise the format of PATH, and propose what params.yaml says.

    The sections data: and tasks: are written into it on yes; in the place of the example's, a network and epochs, too.
    """
    from flows.settings import enter_checkout
    from mtl.config import read_params
    from mtl.data.onboard.proposal import sections_as_yaml, write_sections
    from mtl.data.onboard.propose import propose
    from mtl.data.onboard.recipe import is_example
    from mtl.data.sources.budget import within_budget
    from mtl.output.terminal import one_line

    settings = enter_checkout()
    chosen = path if "://" in path else _relative(Path(path), settings.root)
    proposal = within_budget(propose, chosen, is_example(read_params(settings.root / "params.yaml")))
    if as_json:
        sections = {**proposal.sections, **proposal.changes}
        typer.echo(json.dumps({"format": proposal.format, "facts": proposal.facts, **sections}, indent=1))
        return
    typer.secho(one_line(f"{path} is {proposal.format}"), bold=True)
    for fact in proposal.facts:
        typer.echo(f"  {one_line(fact)}")
    typer.echo(f"\n{sections_as_yaml(proposal)}")
    if yes or typer.confirm("write this into params.yaml?"):
        others = write_sections(settings.root / "params.yaml", proposal, model)
        typer.echo("written; next: mtl data check, then mtl retrain (the sections before are in git)")
        if others and not model:
            typer.echo("a champion with tasks that are gone now stays champion: --model NAME begins another model")


@data.command()
def check(as_json: AsJson = False) -> None:
    """Read every image and label as prepare will; list what is wrong.

    What cannot be used, copies, leaks; and the classes' balance. Exit code 1: something is wrong.
    """
    from mtl.data.inspect.check_lines import as_lines

    report = _run_check()
    typer.echo(json.dumps(report.as_json(), indent=1) if as_json else "\n".join(as_lines(report)))
    if not report.is_clean:
        raise typer.Exit(ExitCode.NO)


@data.command()
def report() -> None:
    """Write an HTML page of the data.

    Samples of every class and split with their targets, sizes, balance, what was left out.
    """
    from flows.settings import enter_checkout

    _run_check("--page")
    typer.echo(f"report: {enter_checkout().home / 'check' / 'report.html'}")


@data.command()
def split(as_json: AsJson = False) -> None:
    """Write the table of a stratified split.

    Images in it stay where they are, new ones keep the classes balanced.
    """
    from flows.checkout.dvc import run_for_output
    from flows.settings import enter_checkout

    run_for_output("mtl.entrypoints.split", *(["--json"] if as_json else []), folder=enter_checkout().root)


@data.command()
def gc(
    remote: Annotated[bool, typer.Option("--remote", help="from the DVC remote too")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="also where others may keep what is not known here")] = False,
) -> None:
    """Remove what nothing needs any more from the DVC cache.

    Data that no registered version, branch, tag, experiment and present file needs: what would go,
    and what each version needs, is shown first.
    """
    from flows.checkout.workspace import exclusive
    from flows.registry.garbage import garbage
    from flows.settings import enter_checkout
    from mtl.config.params import load
    from mtl.errors import BusyError

    settings = enter_checkout()
    model = load(settings.root / "params.yaml").registry.model
    with exclusive(settings), garbage(settings, model, remote=remote) as found:
        for line in found.lines():
            typer.echo(line)
        if found.unknown and not shared:
            raise BusyError(
                "others may need what would go: nothing was removed",
                found=found.unknown[0],
                fix="--shared, if nobody else keeps data there",
            )
        if yes or typer.confirm("remove?"):
            typer.echo(found.remove())


@data.command()
def sync() -> None:
    """Look again at sets outside data/: buckets, URLs, other disks.

    So dvc repro sees what is new there; at imports of DVC
    too if data.update_imports.
    """
    from flows.retraining.arrivals import look_for_arrivals
    from flows.settings import enter_checkout
    from mtl.config.params import load

    settings = enter_checkout()
    changed = look_for_arrivals(settings, load(settings.root / "params.yaml"))
    typer.echo(f"changed: {', '.join(changed)}" if changed else "nothing changed")


def _run_check(*options: str) -> DataReport:
    from flows.checkout.dvc import run_module
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from mtl.data.inspect.report import DataReport
    from mtl.reports.types import read_report

    settings = enter_checkout()
    show_lines().all_to_stderr = True  # what it finds is the result
    out = settings.home / "check" / "report.json"
    out.unlink(missing_ok=True)
    run_module("mtl.entrypoints.check", str(out), *options, folder=settings.root)
    return read_report(DataReport, out, fix="run the check again")


def _relative(path: Path, root: Path) -> str:
    """As params.yaml has it: relative to the checkout where it lies in it."""
    full = path.absolute()
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)
