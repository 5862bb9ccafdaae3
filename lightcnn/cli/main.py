"""The command line: all commands, and how their errors are reported. Each command is in a module of its own."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from lightcnn import interrupt
from lightcnn.cli.ablate import ablate
from lightcnn.cli.audit import audit
from lightcnn.cli.check import check
from lightcnn.cli.compare import compare
from lightcnn.cli.dashboard import dashboard
from lightcnn.cli.explain import explain
from lightcnn.cli.export import export
from lightcnn.cli.list import list_
from lightcnn.cli.options import Interrupted
from lightcnn.cli.predict import predict
from lightcnn.cli.profile import profile
from lightcnn.cli.search import search
from lightcnn.cli.serve import serve
from lightcnn.cli.storage import storage
from lightcnn.cli.train import train
from lightcnn.devices import is_out_of_memory
from lightcnn.errors import DocumentError, LightcnnError
from lightcnn.output.console import CommandConsole
from lightcnn.run_files import write_remedy
from lightcnn.text import first_line, format_error, not_one_of
from lightcnn.version import __version__


class Command(TyperCommand):
    """A command whose help has no types beside flags and arguments, whose names say what is expected."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters of the command."""
        params = super().get_params(ctx)
        for param in params:
            if isinstance(param, TyperArgument):
                param.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
            elif isinstance(param, TyperOption) and param.is_flag:
                param.metavar = ""
        return params


app = typer.Typer(
    name="lightcnn",
    help="Architecture search for lightweight CNNs under exact FLOP, parameter and memory budgets.",
    epilog="Example: lightcnn search --budget 1MFLOPs",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "search": search,
    "train": train,
    "ablate": ablate,
    "profile": profile,
    "explain": explain,
    "audit": audit,
    "predict": predict,
    "export": export,
    "serve": serve,
    "storage": storage,
    "dashboard": dashboard,
    "compare": compare,
    "check": check,
    "list": list_,
}
"""The function of every command."""
EXAMPLES: dict[str, str] = {
    "search": "lightcnn search --budget 1MFLOPs --data photographs --time 10m",
    "train": "lightcnn train quick --data photographs --out runs/first",
    "ablate": "lightcnn ablate quick --over architecture --seeds 3",
    "profile": "lightcnn profile quick mobilenetv2 --input 3x96x96",
    "explain": "lightcnn explain runs/first photograph.jpg --method gradcam,lime",
    "audit": "lightcnn audit photographs",
    "predict": "lightcnn predict runs/first photographs --csv predictions.csv",
    "export": "lightcnn export runs/first --to onnx,onnx-int8,c --check cortex-m4",
    "serve": "lightcnn serve runs/first --port 8000",
    "storage": "lightcnn storage serve --host 10.0.0.5",
    "dashboard": "lightcnn dashboard runs/first",
    "compare": "lightcnn compare runs/first runs/second --metric accuracy",
    "check": "lightcnn check recipe.yaml space.yaml",
    "list": "lightcnn list recipes --show quick",
}
"""An example of every command, at the end of its help."""
for name, command in COMMANDS.items():
    app.command(name, cls=Command, epilog=f"Example: {EXAMPLES[name]}")(command)

UsageError: Any = typer.BadParameter.__mro__[1]
"""Base of the errors that typer raises for a wrong command line; typer has its own copy of click."""


def run(arguments: list[str]) -> int:
    """Runs a command line and returns its exit code; an error is one line on stderr."""
    debug = "--debug" in arguments
    try:
        code = app(arguments, standalone_mode=False)
        if sys.stdout is not None:  # closed before the start, as by >&-
            sys.stdout.flush()
        if code == 130 or interrupt.received():  # typer handles Ctrl-C itself, without a message
            return _interrupted("interrupted")
        return code if isinstance(code, int) else 0
    except Interrupted as hint:
        return _interrupted(str(hint))
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted("interrupted")
    except Exception as error:
        return _interrupted("interrupted") if interrupt.received() else _report(error, arguments, debug)


def _report(failure: Exception, arguments: list[str], debug: bool) -> int:
    """Prints an error as one line on stderr, and returns its exit code."""
    try:
        raise failure
    except DocumentError as error:
        for problem in error.problems[:-1]:
            _print_error(str(problem))
        return _fail(str(error.problems[-1]), error.exit_code, debug)
    except LightcnnError as error:
        return _fail(str(error), error.exit_code, debug)
    except UsageError as error:
        context = getattr(error, "ctx", None)
        message = error.format_message()
        if not arguments:
            typer.echo(message, err=True)
            return 2
        message = _with_suggestion(" ".join(message.split()).replace(": Value error, ", ": ").rstrip("."))
        return _fail(f"{message}; see `{context.command_path if context else 'lightcnn'} --help`", 2, debug)
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _fail(_format_failure(error, arguments), 1, debug)


def _with_suggestion(message: str) -> str:
    """The message of typer; if a value is not one of an option's choices, with the nearest of them."""
    choice = re.search(r"'([^']*)' is not one of ('.*')$", message)
    return (
        message if choice is None else message[: choice.start()] + not_one_of(choice[1], choice[2][1:-1].split("', '"))
    )


def _format_failure(error: Exception, arguments: list[str]) -> str:
    """An error that lightcnn did not raise itself."""
    if is_out_of_memory(error):
        reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
        remedy = "free some memory, then start again, with --resume if there is a run folder"
        return f"out of memory ({reason}); {remedy if _can_resume(arguments) else 'free some memory'}"
    if isinstance(error, OSError):
        return _format_os_error(error, arguments)
    return f"{format_error(error)} (a bug in lightcnn; run with --debug for the traceback)"


def _format_os_error(error: OSError, arguments: list[str]) -> str:
    """An error of the operating system, and what to do about it if that is known."""
    if error.filename is None:  # every error of a file names it
        return f"the output cannot be printed ({error.strerror}); send stdout elsewhere"
    remedy = write_remedy(error)
    resume = ", then continue with --resume" if remedy and _can_resume(arguments) else ""
    return f"{error.filename}: {error.strerror}{f'; {remedy}' if remedy else ''}{resume}"


def _can_resume(arguments: list[str]) -> bool:
    """Whether the command has the option --resume."""
    return arguments[0] in COMMANDS and "resume" in inspect.signature(COMMANDS[arguments[0]]).parameters


def _interrupted(message: str) -> int:
    """Prints how a command that a signal ended is resumed; the terminal may be gone."""
    interrupt.settle()
    _fail(message, 1, debug=False)
    return interrupt.exit_code()


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    _print_error(message)
    return code


def _print_error(message: str) -> None:
    """Prints a line on stderr, which may be closed or full."""
    with contextlib.suppress(OSError):
        CommandConsole(stderr=True).print_line(f"lightcnn: {message}")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", metavar="", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"lightcnn {__version__}")
        raise typer.Exit
