"""The `mtl` command. Heavy imports happen inside the commands: `mtl --help` answers at once."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from flows.cli import champion, comparison, doctor, prediction, retraining, servers, upkeep
from flows.cli.data import data
from flows.cli.registry import registry
from flows.cli.stack import stack

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Retrain, register and promote multi-task vision models.",
)
for group in (retraining, champion, prediction, upkeep, comparison, servers, doctor):
    app.add_typer(group.app)  # without a name: their commands are the top ones
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
    except typer.TyperException as error:
        from flows.cli.usage import explain

        if (explained := explain(error)) is not None:
            typer.secho(f"error: {explained}", fg="red", err=True)
        sys.exit(2)
    except Exception as error:
        if disk := trouble_with_disk(error):
            typer.secho(f"error: {disk}", fg="red", err=True)
            sys.exit(2)
        raise
    sys.exit(result if isinstance(result, int) else 0)
