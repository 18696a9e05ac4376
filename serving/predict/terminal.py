"""Results on a terminal: a row for each image, means by patient, and a summary."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table

from data.names import visible
from models.card import DISCLAIMER, ModelCard
from models.decision import MOST_PROBABLE
from serving.predict.images import shown
from serving.predict.meaning import summary, threshold_meaning
from serving.predict.results import Results

#: Largest number of rows of a table on a terminal; elsewhere, for example in a pipe, all are shown.
MOST_ROWS = 40
#: The same if scores follow below the table.
FEW_ROWS = 10
#: Number of files listed that were not classified.
_REJECTS = 10
#: Width of a bar in characters, and eighths of a character.
_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
#: Width where the output is not a terminal, so that no path is cut.
_WIDE = 10_000


def show(console: Console, results: Results, *, names_output: bool) -> None:
    """Print the results.

    Parameters
    ----------
    console
        Where to print.
    results
        The results.
    names_output
        True if a file with all results is written, so that it need not be recommended.
    """
    if not console.is_terminal:
        console.width = _WIDE
    limit = None
    if console.is_terminal:
        limit = FEW_ROWS if results.images.is_labeled else MOST_ROWS
    hint = "" if names_output else "; --output predictions.csv writes all"
    paths = [results.images.paths[row] for row in results.scored[:limit].tolist()]
    folder = _common_folder(paths) if console.is_terminal else ""
    if folder:
        console.print(f"files in {shown(folder)}", soft_wrap=True)
    tables = [(_image_table(console, results, limit, folder), len(results.scored), "images")]
    patients = results.by_patient()
    if patients:
        made = _patient_table(console, results, limit)
        tables.append((made, len(patients), f"{results.images.unit}s"))
    for table, rows, what in tables:
        if not table.row_count:
            continue
        console.print(table)
        if rows > table.row_count:
            console.print(f"  … and {rows - table.row_count:,} more {what}{hint}", soft_wrap=True)
        console.print()
    show_rejects(console, results.rejects, hint)
    if results.images.left_out:
        console.print(results.images.left_out, soft_wrap=True)
    for line in summary_lines(results):
        console.print(line, soft_wrap=True)


def show_rejects(console: Console, rejects: Sequence[tuple[str, str]], hint: str = "") -> None:
    """Print the files that were not classified, with the reasons."""
    if not rejects:
        return
    count = f"{len(rejects):,} file{'' if len(rejects) == 1 else 's'}"
    console.print(f"not classified: {count}", soft_wrap=True)
    for path, reason in rejects[:_REJECTS]:
        console.print(f"  {shown(path)}: {reason}", soft_wrap=True)
    if len(rejects) > _REJECTS:
        console.print(f"  … and {len(rejects) - _REJECTS:,} more{hint}", soft_wrap=True)


def summary_lines(results: Results) -> list[str]:
    """Return the lines below the tables: counts, meaning of the threshold, and what to heed."""
    card = results.card
    if not len(results.scored):
        return []
    counts = Counter(card.class_names[index] for index in results.decisions.tolist())
    lines = [summary(dict(counts) | {n: counts[n] for n in card.class_names}, card)]
    lines += [text] if (text := threshold_meaning(card)) else []
    if card.data.synthetic:
        lines.append("The model was trained on SYNTHETIC cells, not on images of patients.")
    return [*lines, DISCLAIMER]


def _image_table(console: Console, results: Results, limit: int | None, folder: str) -> Table:
    card = results.card
    rows = results.scored[:limit].tolist()
    images = results.images.table.take(pa.array(rows, pa.int64()))
    table = _empty(console)
    paths = images.column("path").to_pylist()
    table.add_column("file", overflow="fold")
    labels, patients = (images.column(name).to_pylist() for name in ("class_name", "patient_id"))
    has_labels, has_patients = any(labels), any(patients)
    if has_patients:
        table.add_column(results.images.unit, overflow="fold")
    if has_labels:
        table.add_column("label", overflow="fold")
    _add_class_columns(table, card)
    classes, decisions = results.classes.tolist(), results.decisions.tolist()
    for place, (row, path) in enumerate(zip(rows, paths, strict=True)):
        cells = [shown(path.removeprefix(folder))]
        cells += [visible(patients[place] or "")] if has_patients else []
        cells += [visible(labels[place] or "")] if has_labels else []
        probabilities = results.probabilities[row].tolist()
        names = (card.class_names[classes[place]], card.class_names[decisions[place]])
        table.add_row(*cells, *_class_cells(console, card, *names, probabilities))
    return table


def _common_folder(paths: Sequence[str]) -> str:
    """Return the folder above several files with a trailing slash, or an empty string."""
    if len(paths) < 2:
        return ""
    # The common beginning of the smallest and the largest path is that of all.
    first, last = min(paths), max(paths)
    length = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    folder, slash, _ = first[:length].rpartition("/")
    return f"{folder}{slash}"


def _patient_table(console: Console, results: Results, limit: int | None) -> Table:
    table = _empty(console)
    table.add_column(results.images.unit, overflow="fold")
    table.add_column("images", justify="right")
    _add_class_columns(table, results.card, mean=True)
    for one in results.by_patient()[:limit]:
        cells = _class_cells(console, results.card, one.class_name, one.decision, one.probabilities)
        table.add_row(visible(one.patient), f"{one.images:,}", *cells)
    return table


def _empty(console: Console) -> Table:
    # Columns in a pipe are separated by spaces alone, for other programs.
    style = box.SIMPLE_HEAD if console.is_terminal else None
    return Table(box=style, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)


def _add_class_columns(table: Table, card: ModelCard, *, mean: bool = False) -> None:
    table.add_column("class", overflow="fold")
    table.add_column("mean probability" if mean else "probability", no_wrap=True)
    if _decides(card):
        if len(card.class_names) > 2:
            table.add_column(visible(card.positive_class), justify="right", no_wrap=True)
        table.add_column("decision", overflow="fold")


def _class_cells(
    console: Console,
    card: ModelCard,
    class_name: str,
    decision: str,
    probabilities: Sequence[float],
) -> list[str]:
    value = probabilities[card.class_names.index(class_name)]
    percent = f"{value:>6.1%}"
    if console.is_terminal:
        percent = f"{_bar(value, console)} {percent}"
    cells = [visible(class_name), percent]
    if _decides(card):
        if len(card.class_names) > 2:  # with two classes, it follows from the other one
            cells.append(f"{probabilities[card.positive]:.1%}")
        cells.append(visible(decision))
    return cells


def _decides(card: ModelCard) -> bool:
    """Return whether the decision may differ from the most probable class."""
    return card.threshold.value != MOST_PROBABLE


def _bar(share: float, console: Console) -> str:
    if not console.encoding.lower().startswith("utf"):
        return ("#" * round(share * _BAR)).ljust(_BAR)
    whole, part = divmod(round(share * _BAR * 8), 8)
    return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(_BAR)
