"""Tables of the outcomes: an overview by backend and fault, and the details."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table

from chaos.fault import NO_HOSTS
from chaos.faults import FAULTS
from chaos.outcome import SAME, Cost, Outcome, Verdict

#: Files of :func:`write_tables`.
MARKDOWN, SPREADSHEET = "chaos.md", "chaos.csv"
_NOTHING = "-"
#: Temporary folders, which mean nothing to a reader.
_TEMPORARY = re.compile(r"\S*/sparkdl-\S*?(?=[/\s]|$)")
_LONGEST = 300


def overview(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return a table with a row for each backend and a column for each fault."""
    backends = list(dict.fromkeys(one.backend for one in outcomes))
    faults = list(dict.fromkeys(one.fault for one in outcomes))
    cells = {(one.backend, one.fault): _short(one) for one in outcomes}
    rows = [
        {"backend": name, **{FAULTS[f].title: cells.get((name, f), "") for f in faults}}
        for name in backends
    ]
    return pd.DataFrame(rows)


def details(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return a table with a row for each backend and fault that was tried."""
    tried = [one for one in outcomes if one.verdict != Verdict.DOES_NOT_APPLY]
    return pd.DataFrame(
        {
            "backend": one.backend,
            "fault": FAULTS[one.fault].title,
            "outcome": str(one.verdict) + (", --resume finished" if _was_resumed(one) else ""),
            "failed after s": _number(one.seconds_to_failure),
            "time lost s": _number(one.cost.seconds if one.cost else None),
            "images missing": str(one.cost.images_missing) if one.cost else _NOTHING,
            "images again": _again(one.cost),
            "result": _result(one.cost),
            "what was done, or why it failed": _words(one.message or one.injected),
        }
        for one in tried
    )


def raw(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return all outcomes with their numbers, for a spreadsheet."""
    return pd.DataFrame(
        {
            "backend": one.backend,
            "fault": one.fault,
            "outcome": str(one.verdict),
            "resumed": one.resumed,
            "failed_after_s": one.seconds_to_failure,
            "time_lost_s": one.cost.seconds if one.cost else None,
            "images_missing": one.cost.images_missing if one.cost else None,
            "images_again": one.cost.images_again if one.cost else None,
            "images_again_at_most": one.cost.at_most if one.cost else None,
            "probability_difference": one.cost.difference if one.cost else None,
            "message": one.message,
            "injected": one.injected,
            "run_ids": " ".join(one.run_ids),
        }
        for one in outcomes
    )


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return both tables in Markdown, with a description of each fault."""
    names = dict.fromkeys(one.fault for one in outcomes)
    faults = [f"- **{FAULTS[name].title}**: {FAULTS[name].how}" for name in names]
    return "\n\n".join(
        [
            _to_markdown(overview(outcomes)),
            "\n".join(faults),
            _to_markdown(details(outcomes)),
        ]
    )


def terminal(outcomes: Sequence[Outcome]) -> Table:
    """Return a table for a terminal of 80 columns, with a row for each backend and fault."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("backend", "fault", "outcome"):
        table.add_column(name, overflow="fold")
    for one in outcomes:
        table.add_row(one.backend, FAULTS[one.fault].title, _line(one))
    return table


def write_tables(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write the tables to ``folder`` as Markdown and as CSV."""
    (folder / MARKDOWN).write_text(markdown(outcomes) + "\n", encoding="utf-8")
    raw(outcomes).to_csv(folder / SPREADSHEET, index=False)


def _short(one: Outcome) -> str:
    if one.verdict == Verdict.DOES_NOT_APPLY:
        return _NOTHING if one.message != NO_HOSTS else "needs `--cluster`"
    if one.bad:
        return f"**{one.verdict}**"
    if one.verdict == Verdict.RECOVERED:
        how = "recovered by `--resume`" if one.resumed else "recovered"
        return f"{how}, {_cost(one.cost)}"
    text = f"failed in {one.seconds_to_failure:.1f} s"
    return f"{text}, `--resume` {_cost(one.cost)}" if one.cost else text


def _line(one: Outcome) -> str:
    """Return a cell of the terminal's table: the outcome and, after a failure, its reason."""
    text = _short(one).replace("**", "").replace("`", "")
    if one.verdict == Verdict.DOES_NOT_APPLY:
        return one.message
    return f"{text}: {_words(one.message)}" if one.message else text


def _cost(cost: Cost | None) -> str:
    if cost is None:
        return _NOTHING
    missing = f", {cost.images_missing} images missing" if cost.images_missing else ""
    again = f", {_again(cost)} images again" if cost.images_again else ""
    return f"{cost.seconds:+.0f} s{missing}{again}"


def _again(cost: Cost | None) -> str:
    if cost is None:
        return _NOTHING
    if not cost.images_again:
        return "0"
    return f"{'at most' if cost.at_most else 'about'} {cost.images_again}"


def _result(cost: Cost | None) -> str:
    if cost is None or cost.difference is None:
        return _NOTHING
    if cost.difference <= SAME:
        return "the same"
    return f"probabilities differ by up to {cost.difference:.2g}"


def _was_resumed(one: Outcome) -> bool:
    return one.resumed and one.cost is not None


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1f}"


def _words(text: str) -> str:
    """Return ``text`` as one line of limited length, without temporary paths."""
    line = _TEMPORARY.sub("...", " ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _to_markdown(table: pd.DataFrame) -> str:
    escaped = table.map(lambda text: str(text).replace("|", "\\|"))
    return str(escaped.to_markdown(index=False, disable_numparse=True))
