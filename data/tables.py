"""Terminal output of descriptions and rejects."""

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.description import Counts, Description
from data.names import visible
from data.rejects import LOST, count_kinds, in_words, of_kinds

if TYPE_CHECKING:
    from data.exploration.findings import Findings
    from data.exploration.verdict import Verdict

SYNTHETIC_STAMP = "SYNTHETIC images: they show no patient and no real cell"
#: Maximum number of reasons shown; the table of rejects contains all of them.
SHOWN_REJECTS = 5


def print_description(console: Console, description: Description) -> None:
    """Print counts by class and split, notes and rejects."""
    if description.synthetic:
        console.print(SYNTHETIC_STAMP, style="bold red")
    kind = "prepared data set" if description.prepared else "source"
    console.print(
        f"{kind} {_shown(description.source)}, layout {description.layout}", highlight=False
    )
    for line in description.reading:
        console.print(_shown(line), highlight=False)
    console.print(_class_table(description))
    if description.splits:
        console.print(_split_table(description))
    for note in description.notes:
        console.print(f"note: {_shown(note)}", highlight=False)
    print_rejects(console, description.rejects)


def print_findings(console: Console, findings: "Findings") -> None:
    """Print the findings from reading the images, leaks first."""
    for sentence in findings.leaks:
        console.print(f"LEAK RISK: {_shown(sentence)}", style="bold red", highlight=False)
    for sentence in findings.remarks:
        console.print(f"note: {_shown(sentence)}", highlight=False)


def print_verdict(console: Console, verdict: "Verdict") -> None:
    """Print whether the images can be used as they are, and the commands that help."""
    style = "green" if verdict.fine else "bold yellow"
    console.print(verdict.headline, style=style, highlight=False)
    for number, mend in enumerate(verdict.mends, 1):
        text = f"{number}. {_shown(mend.problem)} {_shown(mend.action)}"
        console.print(text, highlight=False, soft_wrap=True)
        if mend.command:
            console.print(f"   {_shown(mend.command)}", highlight=False, soft_wrap=True)


def print_rejects(console: Console, rejects: pa.Table) -> None:
    """Print the counts of rejected files and rows, and the most common reasons with an example."""
    counts = count_kinds(rejects)
    if not counts:
        return
    lost = of_kinds(rejects, LOST)
    style = "yellow" if lost.num_rows else None
    console.print(in_words(counts), style=style, highlight=False, soft_wrap=True)
    paths, reasons = (lost.column(name).to_pylist() for name in ("path", "reason"))
    counted = Counter(reasons)
    for reason, files in counted.most_common(SHOWN_REJECTS):
        example = paths[reasons.index(reason)]
        line = f"  {files:,} x {_shown(reason)}: {_shown(example)}"
        console.print(line, highlight=False, soft_wrap=True)
    if len(counted) > SHOWN_REJECTS:
        console.print(f"  and {len(counted) - SHOWN_REJECTS:,} other reasons", highlight=False)


def _class_table(description: Description) -> Table:
    photographs = description.total.photographs is not None
    table = Table(title="SYNTHETIC" if description.synthetic else None)
    table.add_column("class", no_wrap=True)
    columns = ["images", *(["photographs"] if photographs else [])]
    if description.has_patients:
        columns += [
            description.group_word,
            f"images per {description.unit}\nfewest / median / most",
        ]
    for name in columns:
        table.add_column(name, justify="right")
    for counts in description.classes:
        table.add_row(*_cells(counts, description))
    table.add_section()
    table.add_row(*_cells(description.total, description))
    return table


def _cells(counts: Counts, description: Description) -> list[str]:
    cells = [_shown(counts.class_name), f"{counts.images:,}"]
    if description.total.photographs is not None:
        cells.append(f"{counts.photographs:,}")
    if description.has_patients:
        spread = f"{counts.fewest:,} / {counts.median:g} / {counts.most:,}"
        cells += [f"{counts.patients:,}", spread]
    return cells


def _split_table(description: Description) -> Table:
    title = f"images ({description.group_word})" if description.has_patients else "images"
    table = Table(title=f"SYNTHETIC {title}" if description.synthetic else title)
    table.add_column("class")
    for split in description.splits:
        table.add_column(split, justify="right")
    for rows in zip(*description.splits.values(), strict=True):
        if rows[0].class_name == description.total.class_name:
            table.add_section()
        cells = (
            f"{counts.images:,} ({counts.patients:,})"
            if description.has_patients
            else f"{counts.images:,}"
            for counts in rows
        )
        table.add_row(_shown(rows[0].class_name), *cells)
    return table


def _shown(text: str) -> str:
    """Escape control characters and markup in text that contains names."""
    return escape(visible(text))
