"""Artifacts of a search: the best experiment as a file, a table of all trials, two figures."""

import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml

from data.drawing import drawing, png
from experiments.portable import portable
from experiments.tuning.search import REASON, REFUSED, RUN_ID, Found

if TYPE_CHECKING:
    from optuna import Study

BEST, TRIALS = "best.yaml", "trials.csv"
#: Minimum number of trials for a meaningful importance of a setting.
_FOR_IMPORTANCE = 4
#: Suffix of the name of the experiment with the best settings.
_TUNED = "-tuned"
_RESOLUTION = 150  # dots per inch


def trial_table(study: "Study", objective: str) -> pd.DataFrame:
    """Return a table with one row per trial.

    The columns are ``trial``, the objective, ``state``, ``epochs``, ``seconds``, one for each
    setting, ``reason`` and ``mlflow_run``.
    """
    rows = [
        {
            "trial": trial.number,
            objective: trial.value if trial.state.name == "COMPLETE" else None,
            "state": "REFUSED" if trial.user_attrs.get(REFUSED) else trial.state.name,
            "epochs": max(trial.intermediate_values, default=0),
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            **trial.params,
            "reason": trial.user_attrs.get(REASON, ""),
            "mlflow_run": trial.user_attrs.get(RUN_ID, ""),
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    return pd.DataFrame(rows)


def write_results(found: Found, folder: Path) -> list[Path]:
    """Write ``best.yaml``, ``trials.csv`` and figures, and log them to the parent run.

    The experiment in ``best.yaml`` has a different name and can be run from any folder.

    Parameters
    ----------
    found
        Completed search.
    folder
        Output folder; created if it does not exist.

    Returns
    -------
    list of Path
        Files written, ``best.yaml`` first.

    Raises
    ------
    ExperimentError
        If no trial was completed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = portable(found.best, f"{found.best.name.removesuffix(_TUNED)}{_TUNED}")
    (folder / BEST).write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    trial_table(found.study, found.search.objective).to_csv(folder / TRIALS, index=False)
    written = [folder / BEST, folder / TRIALS, *_draw(found, folder)]
    recorder, run = found.prepared.recorder, found.run_id
    recorder.metrics(run, {f"validation.{found.search.objective}": found.study.best_value})
    recorder.tag(run, {"tuning.best_run": found.study.best_trial.user_attrs[RUN_ID]})
    kept = folder / ".record"
    kept.mkdir(exist_ok=True)
    for path in written:
        shutil.copy2(path, kept)
    recorder.artifacts(run, kept, "tuning")
    shutil.rmtree(kept)
    return written


@drawing()
def _draw(found: Found, folder: Path) -> list[Path]:
    import matplotlib.pyplot as plt
    import optuna.visualization.matplotlib as pictures
    from optuna.exceptions import ExperimentalWarning

    # Optuna draws with pyplot, which may be configured to open windows.
    plt.switch_backend("agg")
    objective = f"validation {found.search.objective}"
    written = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        axes = pictures.plot_optimization_history(found.study, target_name=objective)
        axes.set_title(f"{found.search.backend}: best so far")
        written.append(_saved(axes, folder / "history.png"))
        whole = _with_all_settings(found)
        differ = len({trial.value for trial in whole.trials}) > 1
        if len(whole.trials) >= _FOR_IMPORTANCE and differ:
            axes = pictures.plot_param_importances(whole, target_name=objective)
            written.append(_saved(axes, folder / "importances.png"))
    plt.close("all")
    return written


def _with_all_settings(found: Found) -> "Study":
    """Return the completed trials that have a value for each setting, as a study.

    The trial with the experiment's own settings lacks those that are outside the search space.
    """
    import optuna

    study = optuna.create_study(direction=found.study.direction)
    study.add_trials(
        [
            trial
            for trial in found.study.get_trials()
            if trial.state.name == "COMPLETE" and trial.params.keys() == found.search.space.keys()
        ]
    )
    return study


def _saved(axes: object, path: Path) -> Path:
    figure = axes.get_figure()  # type: ignore[attr-defined]
    figure.set_size_inches(8, 4.5)
    path.write_bytes(png(figure, _RESOLUTION))
    return path
