"""HTML page of a survey: one self-contained file without external resources."""

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pyarrow import fs

from data.description import Description
from data.drawing import png
from data.exploration import charts, kinds, sheets
from data.exploration.colour import can_judge
from data.exploration.findings import Findings, reasons, rule
from data.exploration.measure import SIDE
from data.exploration.similar import MOST_IMAGES
from data.exploration.thumbnails import thumbnails
from data.exploration.verdict import verdict
from data.names import visible
from data.page_style import script, style
from data.plots import DOTS_PER_INCH, class_bars, images_per_patient
from data.rejects import count_kinds, in_words
from data.storage import locate, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "page.html.j2"
#: Rejects that are listed; the counts of reasons include all of them.
REJECTS_SHOWN = 200
#: CSS pixels per inch.
_CSS_INCH = 96


class Picture(NamedTuple):
    """A chart embedded in the page."""

    #: Image as a ``data:`` URI.
    address: str
    #: Width in CSS pixels.
    width: int


def write_page(description: Description, findings: Findings, uri: str) -> None:
    """Write the page to a file or an object, replacing an existing one."""
    filesystem, path = locate(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    write_bytes(filesystem, path, page(description, findings).encode())


def page(description: Description, findings: Findings) -> str:
    """Return the page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("data.exploration", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"visible": visible, "count": "{:,}".format}
    by_class, by_patient = (
        sheets.class_sheets(description, findings),
        sheets.patient_sheets(findings) if description.has_patients else [],
    )
    certain = sheets.shown_sets(findings.duplicates.equal_pixels)
    perhaps = sheets.shown_sets(findings.similar or ())
    wanted = [
        *(row for rows in by_class.values() for row in rows),
        *(row for sheet in by_patient for row in sheet.rows),
        *sheets.rows_of_sets(findings, [*certain, *perhaps]),
    ]
    return environment.get_template(TEMPLATE).render(
        description=description,
        findings=findings,
        survey=findings.survey,
        verdict=verdict(description, findings),
        style=style(),
        script=script(),
        rows=(*description.classes, description.total),
        group=description.group_word,
        one=description.unit,
        known=description.has_patients,
        pictures={name: _embedded(made) for name, made in _draw(description, findings).items()},
        kinds=[] if description.prepared else kinds.kinds(findings.frame),
        sizes=kinds.sizes(findings.readable),
        class_figures=_class_figures(description, findings),
        rule=rule(description, findings.patients) if description.has_patients else "",
        many=len(findings.patients) > charts.MOST_SIDE_BY_SIDE,
        can_judge=description.has_patients and can_judge(findings.patients),
        certain=certain,
        perhaps=perhaps,
        per_set=sheets.PER_SET,
        by_class=by_class,
        by_patient=by_patient,
        thumbnail=thumbnails(description, wanted).get,
        image_of={row["path"]: row["image_id"] for row in wanted}.get,
        left_out=in_words(count_kinds(findings.rejects)).capitalize(),
        reasons=reasons(findings.rejects),
        rejects=findings.rejects.slice(0, REJECTS_SHOWN).to_pylist(),
        side=SIDE,
        most_images=MOST_IMAGES,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _draw(description: Description, findings: Findings) -> "dict[str, Figure]":
    """Return the charts for which there is data, by name."""
    figures = {"classes": class_bars(description)}
    if description.has_patients:
        figures["per_patient"] = images_per_patient(description)
    frame = findings.readable
    if len(frame[["width", "height"]].dropna().drop_duplicates()) > 1:
        figures["sizes"] = charts.size_histograms(description, frame)
    if len(findings.images):
        drawn = (description, findings.images, findings.patients, findings.far)
        figures["brightness"] = charts.brightness_by_patient(*drawn)
        colors = charts.colour_by_patient(*drawn) if description.has_patients else None
        if colors is not None:
            figures["colour"] = colors
    return figures


def _class_figures(description: Description, findings: Findings) -> list[dict[str, Any]]:
    """Return brightness, mean color and share of black background of each class."""
    rows = []
    ground = findings.frame.groupby("class_name")["ground"].median()
    for counts in description.classes:
        images = findings.images[findings.images["class_name"] == counts.class_name]
        if images.empty:
            continue
        low, middle, high = images["brightness"].quantile([0.25, 0.5, 0.75])
        rows.append(
            {
                "class": counts.class_name,
                "brightness": f"{middle:.0f} ({low:.0f} to {high:.0f})",
                "colours": [f"{images[name].mean():.0f}" for name in ("red", "green", "blue")],
                "ground": f"{100 * ground[counts.class_name]:.0f} %",
            }
        )
    return rows


def _embedded(figure: "Figure") -> Picture:
    address = f"data:image/png;base64,{base64.b64encode(png(figure, DOTS_PER_INCH)).decode()}"
    return Picture(address, round(figure.get_figwidth() * _CSS_INCH))
