"""Exit of command-line programs: one-line messages for usage errors, Ctrl-C and a full disk."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from data.errors import SparkdlError
from data.exit_status import FAILED, INTERRUPTED, WRONG_REQUEST

if TYPE_CHECKING:
    import typer

#: Names of the help option.
HELP_NAMES = ("-h", "--help")


def application(help_text: str) -> "typer.Typer":
    """Return a typer application with the settings that all commands of the project have."""
    import typer

    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": [*HELP_NAMES]},
    )


def single_command(function: Callable[..., Any]) -> "typer.Typer":
    """Return an application that consists of one command, which runs without arguments too."""
    app = application("")
    app.info.no_args_is_help = False
    app.command()(function)
    return app


def end_with(app: Callable[..., Any], prog_name: str | None = None) -> NoReturn:
    """Run a typer application with the arguments of this process, then exit the process.

    Usage errors are reported in one line, in the format of the project's own errors.
    """
    try:
        status = app(prog_name=prog_name, standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except OSError as error:  # for example, writing the help text to a full disk
        sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
        status = FAILED
        _forget_output()
    except Exception as error:
        message = _usage_error(error)
        if message is None:
            raise
        sys.stderr.write(f"error: {message}\n")
        status = WRONG_REQUEST
    sys.exit(status if isinstance(status, int) else 0)


@contextmanager
def plain_errors(debug: bool = False) -> Iterator[None]:
    """Convert an error to one line on standard error and an exit status.

    Errors of the project and of the operating system (a full disk, a folder that cannot be
    written) are converted; others propagate with their traceback.

    Parameters
    ----------
    debug
        If True, print the traceback before the line.

    Raises
    ------
    typer.Exit
        With the exit status of the error.
    """
    import typer

    try:
        yield
    except BrokenPipeError:
        raise  # click exits silently when the reading end of the pipe is closed
    except (SparkdlError, OSError) as error:
        if debug:
            traceback.print_exc()
        status = getattr(error, "exit_status", FAILED)
        sys.stderr.write(f"\n{error}\n" if status == INTERRUPTED else f"error: {error}\n")
        raise typer.Exit(status) from None
    except KeyboardInterrupt as interrupt:
        if debug:
            traceback.print_exc()
        _report_closed_runs("interrupted", interrupt)
        raise typer.Exit(INTERRUPTED) from None
    except SystemExit as ended:
        _report_closed_runs("terminated", ended)
        raise


def _report_closed_runs(how: str, ended: BaseException) -> None:
    """Print how the active runs were closed, as recorded in the notes of ``ended``."""
    notes = [f"{how}: {note}" for note in getattr(ended, "__notes__", [])]
    with suppress(OSError):  # the terminal may be closed
        sys.stderr.write("\n" + "\n".join(notes or [how]) + "\n")


def _usage_error(error: Exception) -> str | None:
    """Return the message of a usage error of click, or None for an error of another kind."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    message = " ".join(str(format_message()).split()).rstrip(".").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    name = getattr(error, "option_name", None)
    if name is not None and "No such option" in message:
        known = [
            option
            for parameter in (context.command.params if context else ())
            if not getattr(parameter, "hidden", False)
            for option in parameter.opts
            if option.startswith("-")
        ]
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        message = f"there is no option {name}{hint}"
    else:
        message = message[:1].lower() + message[1:]
    path = context.command_path if context else ""
    return f"{message} ('{path} --help' lists the options)" if path else message


def _forget_output() -> None:
    """Redirect stdout to the null device, so that Python's final flush does not fail again."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)
