"""The terminal's table puts first what the experiment asks for."""

import io

import pytest
from rich.console import Console

from experiments.console import result_table
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.records import FINISHED, RunRecord

METRICS = {"test.f1": 0.9, "test.weighted_f1": 0.8125, "test.roc_auc": 0.7}


def printed(runs: int, headline: str) -> list[str]:
    records = [
        RunRecord(
            experiment="cells", backend="majority", seed=seed, run_id=str(seed),
            tracking_uri="sqlite:///x.db", status=FINISHED, metrics=METRICS,
        )
        for seed in range(runs)
    ]  # fmt: skip
    text = io.StringIO()
    console = Console(file=text, width=80)
    console.print(result_table(records, synthetic=False, headline=headline))
    return text.getvalue().splitlines()


def test_headline_stands_above_f1_for_a_few_runs() -> None:
    lines = [line for line in printed(1, "weighted_f1") if "F1" in line]
    assert lines[0].split() == ["weighted", "F1", "0.812"]
    assert lines[1].split()[-1] == "0.900"
    assert not [line for line in printed(1, "f1") if "weighted" in line]


def test_headline_fits_a_terminal_for_many_runs() -> None:
    lines = printed(5, "weighted_f1")
    assert max(map(len, lines)) <= 80
    heading = next(line for line in lines if "backend" in line)
    assert heading.index("weighted F1") < heading.index("F1 (95 %)")
    assert sum("0.812" in line and "0.900" in line for line in lines) == 5


def test_challenge_is_ranked_by_weighted_f1_and_other_words_are_refused() -> None:
    assert load("c-nmc-challenge").headline == "weighted_f1"
    assert load("c-nmc").headline == "f1"
    with pytest.raises(ExperimentError, match=r"headline.*'weighted_f1'"):
        load("c-nmc-challenge", {"headline": "weighted"})
