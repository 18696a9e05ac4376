"""Figures of the cost of training: seconds, CPU time and memory."""

from typing import TYPE_CHECKING, Any

import numpy as np

from data.drawing import GRID
from experiments.comparison.canvas import HATCHES, Style, canvas, legend
from experiments.comparison.findings import PHASES, Findings, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GIB = 2**30
#: Approximate number of points of a line over time.
_POINTS = 300


def phases(findings: Findings) -> "Figure":
    """Draw the mean seconds per phase as one bar per backend; time outside phases comes last.

    The colors of phases are paler than those of backends and mean something else.
    """
    import seaborn as sns

    rows = list(reversed(findings.rows))
    figure, (axes,) = canvas(height=1.3 + 0.42 * len(rows))
    palette, places = sns.color_palette("pastel", len(PHASES) + 1), np.arange(len(rows))
    left = np.zeros(len(rows))
    names = {**PHASES, "": "start and end of processes"}
    for number, (metric, name) in enumerate(names.items()):
        if metric:
            seconds = np.array([np.nan_to_num(row.mean(metric)) for row in rows])
        else:
            seconds = np.maximum(0, [row.mean("time.total_s") for row in rows] - left)
        hatch = HATCHES[number % len(HATCHES)]
        axes.barh(
            places,
            seconds,
            left=left,
            label=name,
            color=palette[number],
            hatch=hatch,
            ec="0.45",
            lw=0.5,
        )
        left += seconds
    axes.set_yticks(places, [row.label for row in rows])
    axes.set(xlabel="seconds per run, mean over seeds")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def fronts(findings: Findings, style: Style) -> "Figure":
    """Draw F1 against seconds and CPU seconds; a line joins the Pareto-optimal backends."""
    figure, axes = canvas(columns=2, height=3.6)
    for one, metric, title in (
        (axes[0], "time.total_s", "seconds per run"),
        (axes[1], "resources.cpu_s", "CPU seconds per run"),
    ):
        known = [row for row in findings.rows if not np.isnan(row.mean(metric))]
        for row in known:
            one.plot(
                row.mean(metric),
                row.f1.value,
                style.marker(row.label),
                color=style.color(row.label),
                label=row.label,
                markersize=8,
            )
        best = front([(row.mean(metric), row.f1.value) for row in known if row.trained])
        if best:
            one.step(*zip(*best, strict=True), where="post", color="0.6", linewidth=1, zorder=0)
        one.set(xlabel=title, ylabel="F1")
        one.set_xlim(left=0)
        one.grid(color=GRID)
    legend(figure, axes[0])
    return figure


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the Pareto-optimal points of (cost, score), in order of increasing cost."""
    kept: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or score > kept[-1][1]:
            kept.append((cost, score))
    return kept


def learning(findings: Findings, style: Style) -> "Figure":
    """Draw the validation loss by epoch and by seconds of training, mean over seeds."""
    from matplotlib.ticker import MaxNLocator

    figure, (by_epoch, by_time) = canvas(columns=2)
    last = 1
    for row in findings.rows:
        frames = [run.epochs for run in row.runs if "validation.loss" in run.epochs]
        if not frames:
            continue
        shortest = min(len(frame) for frame in frames)
        loss = np.mean([frame["validation.loss"].to_numpy()[:shortest] for frame in frames], axis=0)
        line: dict[str, Any] = {
            "color": style.color(row.label),
            "linestyle": style.line(row.label),
            "marker": style.marker(row.label),
            "markersize": 4,
        }
        last = max(last, int(frames[0].index[shortest - 1]))
        by_epoch.plot(frames[0].index[:shortest], loss, label=row.label, **line)
        if all("train.epoch_s" in frame for frame in frames):
            seconds = np.mean(
                [frame["train.epoch_s"].to_numpy()[:shortest] for frame in frames], axis=0
            )
            by_time.plot(seconds.cumsum(), loss, **line)
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    by_epoch.set_xlim(0.5, last + 0.5)
    by_epoch.set(xlabel="epoch", ylabel="validation cross-entropy (nats)")
    by_time.set(xlabel="seconds of training")
    _note_if_empty(by_epoch, "no validation loss in these records")
    _note_if_empty(by_time, "no seconds per epoch in these records")
    legend(figure, by_epoch)
    return figure


def resources(findings: Findings, style: Style) -> "Figure":
    """Draw memory and busy cores over time for the first seed of each backend."""
    figure, (memory, cores) = canvas(columns=2)
    for row in findings.rows:
        series = row.runs[0].series
        if series is None or len(series) < 3:
            continue
        line: dict[str, Any] = {"color": style.color(row.label), "linestyle": style.line(row.label)}
        window = max(1, len(series) // 60)
        busy = (series["cpu_s"].diff(window) / series["at_s"].diff(window)).clip(lower=0)
        # The peak of each group of samples is kept, so that the figure shows the peak of the run.
        group = np.arange(len(series)) // max(1, len(series) // _POINTS)
        at = series["at_s"].groupby(group).first()
        gibibytes = series["memory_bytes"].groupby(group).max() / _GIB
        memory.plot(at, gibibytes, label=row.label, **line)
        cores.plot(at, busy.groupby(group).mean(), **line)
    memory.set(xlabel="seconds", ylabel="memory (GiB)")
    cores.set(xlabel="seconds", ylabel="busy cores")
    for axes in (memory, cores):
        axes.set(xlim=(0, None), ylim=(0, None))
    _note_if_empty(memory, "no resource samples in these records")
    legend(figure, memory)
    return figure


def _note_if_empty(axes: "Axes", text: str) -> None:
    if not axes.lines:
        axes.text(0.5, 0.5, text, ha="center", transform=axes.transAxes, color="k")


def on_front(findings: Findings, metric: str) -> list[str]:
    """Return the labels of the backends whose means are Pareto-optimal in F1 and ``metric``."""
    points: dict[tuple[float, float], Row] = {
        (row.mean(metric), row.f1.value): row for row in findings.rows if row.trained
    }
    known = [point for point in points if not np.isnan(point[0])]
    return [points[point].label for point in front(known)]
