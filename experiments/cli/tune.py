"""``sparkdl-bench tune``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from data import cli_options
from data.addresses import local_path
from data.command_line import plain_errors
from data.exit_status import FAILED
from data.invocation import command
from experiments.cli.options import Naming
from experiments.units import plural

_WORK = Path("work")


@cli_options.takes(Naming, *cli_options.ALL)
def tune(
    backend: Annotated[str, typer.Option(help="Framework whose settings are tuned.")],
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="Setting to vary: optimizer.learning_rate=log:1e-4..1e-1, batch_size=[32, 64]; "
            "repeatable. By default, the settings that are worth varying for the backend.",
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Number of trials, including those already run.")
    ] = 20,
    jobs: Annotated[
        int, typer.Option(min=1, help="Trials to run at a time, each with all its workers.")
    ] = 1,
    objective: Annotated[
        str,
        typer.Option(
            help="Score on the validation images to optimize: f1, macro_f1, balanced_accuracy, "
            "roc_auc, average_precision, mcc or brier."
        ),
    ] = "f1",
    prune: Annotated[
        bool, typer.Option(help="Stop trials that fall behind the median of earlier ones.")
    ] = True,
    study: Annotated[
        str, typer.Option(help="Name of the study; by default, experiment and backend.")
    ] = "",
    experiment: Annotated[
        str | None, typer.Option(help="Experiment file, or the name of a shipped experiment.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder or s3:// prefix.")] = None,
    model: Annotated[str | None, typer.Option(help="Network to train.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of one-core executors.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of passes over the training images.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the weights, the order of the images and the proposals."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the experiment."),
    ] = None,
    master: Annotated[str | None, typer.Option(help="Spark URL.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow database or server.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the study of the same name.")
    ] = False,
    work: Annotated[Path, typer.Option(help="Folder for prepared data and tuning.db.")] = _WORK,
    output: Annotated[Path, typer.Option(help="Folder for best.yaml and figures.")] = Path(
        "tuning"
    ),
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Tune the settings of one backend on the validation images; no test image is read.

    The first trial uses the experiment's own settings, with which the others are compared.
    """
    with plain_errors():
        folder = work
        work, output = local_path(work), local_path(output)
        from experiments import tuning
        from experiments.cli.console import Console, plain_console
        from experiments.cli.tune_console import SearchConsole, trial_line
        from experiments.errors import ExperimentError
        from experiments.folders import writable_folder
        from experiments.overrides import given
        from experiments.tuning.own_settings import gain
        from experiments.tuning.space import parse_space

        work, output = writable_folder("--work", work), writable_folder("--output", output)
        overrides = given(
            {
                "--data": data,
                "--model": model,
                "--workers": workers,
                "--epochs": epochs,
                "--seed": None if seed is None else [seed],
                "--master": master,
                "--tracking-uri": tracking_uri,
                **data_options,
            },
            set_,
        )
        asked = tuning.Search(
            backend=backend,
            source=experiment,
            overrides=overrides,
            trials=trials,
            space=parse_space(search or []),
            objective=objective,
            jobs=jobs,
            prune=prune,
            study=study,
        )
        console = plain_console(sys.stdout)
        planned = asked.experiment({})
        shown = SearchConsole(
            console,
            backend=planned.backends[0],
            trials=trials,
            jobs=jobs,
            objective=objective,
            epochs=planned.epochs,
        )
        with shown:
            found = tuning.run_search(
                asked, work=work, observer=Console(plans_runs=False), resume=resume, shown=shown
            )
            shown.waits("writing the results")
            try:
                written = tuning.write_results(found, output)
            except ExperimentError as error:
                console.print(f"error: {error}")
                raise typer.Exit(FAILED) from None
        console.print(f"best: {trial_line(found.study.best_trial, objective)}", soft_wrap=True)
        console.print(gain(found.study, objective), soft_wrap=True)
        console.print(f"written: {', '.join(str(path) for path in written)}", soft_wrap=True)
        unit = plural(found.prepared.data.summary.unit)
        console.print(f"evaluate it on the test {unit}, which no trial has read:", soft_wrap=True)
        console.print(f"  {_command(backend, written[0], folder)}", soft_wrap=True)


def _command(backend: str, best: Path, work: Path) -> str:
    """Return the command that trains with the best settings and evaluates on the test images."""
    words = ["run", "--backend", backend, "--experiment", str(best.absolute())]
    if work != _WORK:
        words += ["--work", str(local_path(work).absolute())]
    return command(*words)
