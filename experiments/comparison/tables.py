"""Tables of a comparison, for a terminal, a paper or a spreadsheet."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table

from experiments.comparison.difference import p_text
from experiments.comparison.findings import Findings, Row
from experiments.comparison.recommendation import recommendation
from experiments.units import plural

_GIB = 2**30


def _plus_minus(metric: str, form: str, unit: float = 1.0) -> Callable[[Row], str]:
    """Return a function that formats the mean of a metric and, over several seeds, its spread."""

    def show(row: Row) -> str:
        mean, spread = row.mean(metric) / unit, row.spread(metric) / unit
        if np.isnan(mean):
            return "-"
        return form.format(mean) + ("" if np.isnan(spread) else f" ± {form.format(spread)}")

    return show


def _seed_spread(row: Row) -> str:
    spread = row.spread("test.f1")
    return "-" if np.isnan(spread) else f"{spread:.3f}"


def _difference(row: Row) -> str:
    if row.difference is None:
        return "-"
    interval = row.difference.interval
    if not interval.known:
        return f"{interval.value:+.3f} (no interval)"
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _p(row: Row) -> str:
    return "-" if row.difference is None else p_text(row.difference.p_corrected)


def _detectable(row: Row) -> str:
    if row.difference is None or np.isnan(row.difference.detectable):
        return "-"
    return f"{row.difference.detectable:.3f}"


def _verdict(row: Row) -> str:
    return "baseline" if row.difference is None else row.difference.verdict


def _equivalence(row: Row) -> str:
    if row.difference is None or np.isnan(row.difference.p_equivalence):
        return "-"
    return p_text(row.difference.p_equivalence)


def _score(name: str) -> Callable[[Row], str]:
    """Return a function that formats a score with its interval."""

    def show(row: Row) -> str:
        interval = row.scores[name]
        return "-" if np.isnan(interval.value) else str(interval)

    return show


#: Columns of the main table: headings and functions that return the cells.
_MAIN: dict[str, Callable[[Row], str]] = {
    "backend": lambda row: row.label,
    "F1 (95 %)": lambda row: str(row.f1),
    "sensitivity (95 %)": _score("sensitivity"),
    "specificity (95 %)": _score("specificity"),
    "ROC AUC (95 %)": _score("roc_auc"),
    "fit s": _plus_minus("time.fit_s", "{:.1f}"),
    "total s": _plus_minus("time.total_s", "{:.1f}"),
    "memory GiB": _plus_minus("resources.peak_memory_bytes", "{:.1f}", _GIB),
    "CPU s": _plus_minus("resources.cpu_s", "{:.0f}"),
}
#: Columns of the table of differences from the baseline.
_AGAINST: dict[str, Callable[[Row], str]] = {
    "backend": lambda row: row.label,
    "seeds": lambda row: str(row.seeds),
    "sd": _seed_spread,
    "difference (95 %)": _difference,
    "p": _p,
    "result": _verdict,
    "detectable": _detectable,
}
_SPEED = {"images/s": _plus_minus("train.images_per_s", "{:,.0f}")}


def texts(findings: Findings) -> pd.DataFrame:
    """Return all columns of `main` and `against` as strings, with one row per backend."""
    table = against(findings)
    speed = _table(findings, _SPEED)
    return pd.concat([main(findings), table.drop(columns="backend"), speed], axis="columns")


def main(findings: Findings) -> pd.DataFrame:
    """Return scores with intervals, seconds, memory, CPU time and cost as strings."""
    table = _table(findings, _MAIN)
    if any(row.cost for row in findings.rows):
        currency = findings.rows[0].runs[0].params.get("price.currency", "")
        table[f"cost {currency}".strip()] = [f"{row.cost:.4f}" for row in findings.rows]
    return table


def against(findings: Findings) -> pd.DataFrame:
    """Return the differences of F1 from the baseline as strings."""
    columns = dict(_AGAINST)
    if margin := findings.margin:
        columns[f"p of equivalence within {margin:g}"] = _equivalence
    return _table(findings, columns)


def _table(findings: Findings, columns: Mapping[str, Callable[[Row], str]]) -> pd.DataFrame:
    rows = [{name: show(row) for name, show in columns.items()} for row in findings.rows]
    table = pd.DataFrame(rows, columns=list(columns))
    if not findings.reliable:
        table = table.rename(columns=lambda name: name.replace("(95 %)", "(95 %, not reliable)"))
    return table


def terminal(findings: Findings) -> Table:
    """Return a table of means that fits a terminal of 80 characters, without differences."""
    stamp = " (SYNTHETIC cells)" if findings.synthetic else ""
    few = plural(findings.unit)
    table = Table(
        title=f"{findings.title}: {findings.sample}{stamp}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=None if findings.reliable else f"Intervals are not reliable: too few {few}.",
        caption_justify="left",
    )
    table.add_column("backend", overflow="fold")
    for name in ("seeds", "F1 (95 %)", "fit s", "total s", "CPU s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in findings.rows:
        means = ("time.fit_s", "time.total_s", "resources.cpu_s")
        seconds = [f"{row.mean(name):,.0f}" for name in means]
        table.add_row(row.label, str(row.seeds), str(row.f1), *seconds)
    return table


def markdown(findings: Findings) -> str:
    """Return the recommendation and the whole table in Markdown."""
    advice = recommendation(findings)
    lines = [advice.paragraph, "", *(f"- {setting}: {text}" for setting, text in advice.settings)]
    return "\n".join([*lines, "", _markdown(findings)])


def _markdown(findings: Findings) -> str:
    return texts(findings).to_markdown(index=False, disable_numparse=True)


def latex(findings: Findings) -> str:
    """Return the whole table as a LaTeX ``tabular`` for the package booktabs."""
    return texts(findings).to_latex(index=False, escape=True).replace("±", r"$\pm$")


def raw(findings: Findings) -> pd.DataFrame:
    """Return the metrics of every run; excluded runs are listed with the reason."""
    reasons = {one.run.record.run_id: one.reason for one in findings.excluded}
    runs = [run for row in findings.rows for run in row.runs]
    runs += [one.run for one in findings.excluded]
    return pd.DataFrame(
        {
            "backend": run.record.backend,
            "seed": run.record.seed,
            "platform": run.params.get("platform", "here"),
            "status": run.record.status,
            "left_out_because": reasons.get(run.record.run_id, ""),
            "run_id": run.record.run_id,
            "experiment": run.record.experiment,
            **{
                name: value
                for name, value in sorted(run.record.metrics.items())
                if name.startswith(("test.", "time.", "train.", "resources."))
            },
        }
        for run in runs
    )


#: Columns of the table on decisions and calibration.
_DECISIONS: dict[str, Callable[[Row], str]] = {
    "backend": lambda row: row.label,
    "threshold": _plus_minus("decision.threshold", "{:.3f}"),
    "Brier score": _plus_minus("test.brier", "{:.3f}"),
    "reliability": _plus_minus("test.brier_reliability", "{:.4f}"),
    "resolution": _plus_minus("test.brier_resolution", "{:.4f}"),
    "uncertainty": _plus_minus("test.brier_uncertainty", "{:.4f}"),
}


def decisions(findings: Findings) -> pd.DataFrame:
    """Return the threshold and the components of the Brier score as strings."""
    return _table(findings, _DECISIONS)


def platforms(findings: Findings) -> pd.DataFrame:
    """Return the seconds per epoch, core-seconds and cost, by backend and platform."""
    rows = [
        {
            "backend": row.runs[0].record.backend,
            "platform": row.runs[0].params.get("platform", "here"),
            "cores": row.runs[0].params.get("workers", "?"),
            "s per epoch": f"{row.mean('time.fit_s') / _epochs(row):.1f}",
            "total s": f"{row.mean('time.total_s'):.1f}",
            "core-seconds": f"{row.core_seconds:.0f}",
            f"cost {row.runs[0].params.get('price.currency', 'USD')}": (
                f"{row.cost:.4f}" if row.cost else "no price given"
            ),
        }
        for row in findings.rows
    ]
    return pd.DataFrame(rows)


def _epochs(row: Row) -> float:
    return float(row.runs[0].params.get("epochs", "1"))
