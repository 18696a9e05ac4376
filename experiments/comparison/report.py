"""Report of a comparison: one HTML file that needs no network and no other file."""

from datetime import UTC, datetime
from pathlib import Path

from data.config import Unit
from data.drawing import drawing, svg
from data.entry import private_files
from data.page_style import script, style
from experiments.comparison import charts_scores, charts_time, tables
from experiments.comparison.canvas import Style, embedded
from experiments.comparison.facts import facts
from experiments.comparison.findings import Findings
from experiments.comparison.hard_cases import hard_cases
from experiments.comparison.leak_audit import leak_audit
from experiments.comparison.output_folder import REPORT_FILE
from experiments.comparison.recommendation import recommendation
from experiments.comparison.runs import BEFORE
from experiments.units import plural

TEMPLATE = "report.html.j2"
#: Captions of the figures, by the name of the figure's file.
_CAPTIONS = {
    "f1": "F1 over unseen {units}. The interval accounts for variation among {units} and "
    "seeds{not_images}; each tick is one seed.",
    "phases": "Seconds of a run by phase.",
    "fronts": "F1 against seconds and CPU seconds; the line joins the Pareto-optimal means.",
    "learning": "Validation loss by epoch and by seconds of training, mean over seeds.",
    "resources": "Memory and busy cores over time, first seed. Memory pages shared by several "
    "processes are counted once per process.",
    "curves": "ROC and precision-recall curves, pooled over the seeds of a backend.",
    "confusion": "Confusion matrices as shares of each true class at the decision threshold, "
    "pooled over seeds.",
    "reliability": "Share of positive images in up to ten groups of nearly equal size, by their "
    "predicted probability, pooled over seeds. Calibrated probabilities lie on the diagonal.",
}


@private_files()
def write_report(findings: Findings, folder: Path) -> Path:
    """Write the report, its figures and tables to ``folder``; return the path of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw(findings)
    for name, content in pictures.items():
        (folder / f"{name}.svg").write_text(content)
    (folder / "table.md").write_text(tables.markdown(findings) + "\n")
    (folder / "table.tex").write_text(tables.latex(findings))
    tables.raw(findings).to_csv(folder / "runs.csv", index=False)
    path = folder / REPORT_FILE
    path.write_text(page(findings, pictures))
    return path


@drawing()
def draw(findings: Findings) -> dict[str, str]:
    """Return all figures as SVG elements, by name."""
    style = _style_of(findings)
    figures = {
        "f1": charts_scores.f1_intervals(findings, style),
        "phases": charts_time.phases(findings),
        "fronts": charts_time.fronts(findings, style),
        "learning": charts_time.learning(findings, style),
        "resources": charts_time.resources(findings, style),
        "curves": charts_scores.curves(findings, style),
        "confusion": charts_scores.confusion_matrices(findings),
        "reliability": charts_scores.reliability_curves(findings, style),
    }
    return {name: svg(figure, name) for name, figure in figures.items()}


def _style_of(findings: Findings) -> Style:
    return Style([row.label for row in findings.rows])


def _captions(unit: Unit) -> dict[str, str]:
    not_images = "" if unit == "image" else ", not among images"
    f1 = _CAPTIONS["f1"].format(units=plural(unit), not_images=not_images)
    return {**_CAPTIONS, "f1": f1}


def _together(text: str) -> str:
    """Keep numbers and their units on one line."""
    return text.replace(" %", "\u00a0%").replace(" s ", "\u00a0s ")


def page(findings: Findings, pictures: dict[str, str]) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    findings
        Result of the comparison.
    pictures
        Figures as SVG elements, by name, as returned by ``draw``.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("experiments.comparison", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["together"] = _together
    first, colors = findings.rows[0].runs[0], _style_of(findings)
    return environment.get_template(TEMPLATE).render(
        findings=findings,
        advice=recommendation(findings),
        facts=facts(findings),
        colors={row.label: colors.color(row.label) for row in findings.rows},
        main=tables.main(findings),
        against=tables.against(findings),
        platforms=tables.platforms(findings),
        decisions=tables.decisions(findings),
        pictures={name: Markup(element) for name, element in pictures.items()},
        captions=_captions(findings.unit),
        units=plural(findings.unit),
        fast=charts_time.on_front(findings, "time.total_s"),
        frugal=charts_time.on_front(findings, "resources.cpu_s"),
        hard=hard_cases(findings),
        audit=leak_audit(findings),
        embedded=embedded,
        style=style(),
        script=script(),
        settings_of_decision={**BEFORE, **first.params},
        tags=first.record.tags,
        method=first.record.tags.get("resources.method", ""),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
