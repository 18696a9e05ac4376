"""``python -m experiments tune``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data import cli_options
from data.addresses import local_path
from experiments.cli import FAILED_STATUS, plain_errors
from experiments.cli_options import Naming

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@cli_options.takes(Naming, *cli_options.ALL)
def tune(
    backend: Annotated[str, typer.Option(help="Framework whose settings are searched.")],
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="What to vary: optimizer.learning_rate=log:1e-4..1e-1, batch_size=[32, 64]; "
            "repeatable. Without it, what is worth varying for the backend.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials to make, earlier ones included.")] = 20,
    jobs: Annotated[
        int, typer.Option(min=1, help="Trials at a time, each with all its workers.")
    ] = 1,
    objective: Annotated[
        str,
        typer.Option(
            help="Of the validation images: f1, macro_f1, balanced_accuracy, roc_auc, "
            "average_precision, mcc or brier."
        ),
    ] = "f1",
    prune: Annotated[
        bool, typer.Option(help="End trials that fall behind the median of earlier ones.")
    ] = True,
    study: Annotated[str, typer.Option(help="Name of the study; experiment and backend.")] = "",
    experiment: Annotated[
        str | None, typer.Option(help="Experiment file, or the name of a shipped experiment.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder or s3:// prefix.")] = None,
    model: Annotated[str | None, typer.Option(help="Network.")] = None,
    workers: Annotated[int | None, typer.Option(help="Executors of one core.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and proposals.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the experiment."),
    ] = None,
    master: Annotated[str | None, typer.Option(help="Spark URL.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow database or server.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study of the same name.")
    ] = False,
    work: Annotated[Path, typer.Option(help="Folder for prepared data and tuning.db.")] = Path(
        "work"
    ),
    output: Annotated[Path, typer.Option(help="Folder for best.yaml and pictures.")] = Path(
        "tuning"
    ),
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Search for good settings of one backend on the validation patients; no test image is read."""
    with plain_errors(debug=False):
        work, output = local_path(work), local_path(output)
        from experiments import tuning
        from experiments.console import Console, plain_console
        from experiments.errors import ExperimentError
        from experiments.folders import writable_folder
        from experiments.overrides import given
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
        found = tuning.run_search(
            asked,
            work=work,
            observer=Console(),
            resume=resume,
            on_trial=lambda trial: console.print(_line(trial, objective)),
        )
        try:
            written = tuning.write_results(found, output)
        except ExperimentError as error:
            console.print(f"error: {error}")
            raise typer.Exit(FAILED_STATUS) from None
        best = found.study.best_trial
        console.print(f"best: {_line(best, objective)}")
        console.print(f"written: {', '.join(str(path) for path in written)}")
        console.print(
            "judge it on the test patients: uv run run_experiment.py "
            f"--backend {backend} --experiment {written[0]}"
        )


def _line(trial: "FrozenTrial", objective: str) -> str:
    settings = ", ".join(f"{key} {_short(value)}" for key, value in trial.params.items())
    state = trial.state.name.lower()
    if trial.user_attrs.get("refused"):
        # The reason begins with the word.
        return f"trial {trial.number}: {trial.user_attrs['reason']}: {settings}"
    score = f"{objective} {trial.value:.4f}" if state == "complete" else state
    took = f" in {trial.duration.total_seconds():.0f} s" if trial.duration else ""
    why = f" ({trial.user_attrs['reason']})" if state == "fail" else ""
    return f"trial {trial.number}: {score}{took}: {settings}{why}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
