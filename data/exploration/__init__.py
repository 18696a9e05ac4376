"""Inspection of all images of a source or a prepared data set before training."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.description import Description
    from data.exploration.findings import Findings


#: Example name of a page, for messages.
PAGE_EXAMPLE = "report.html"


def explore(
    description: "Description",
    html: str,
    *,
    sample: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> "Findings":
    """Measure the images of ``description`` and write the findings as one HTML page.

    Parameters
    ----------
    description
        Result of `data.describe.describe`.
    html
        Path or URI of the page; an existing file is replaced.
    sample, workers, progress
        As in `data.exploration.survey.survey`.

    Raises
    ------
    DataError
        If the page cannot be written, or the data set contains features instead of pixels.
    """
    from data.exploration.findings import find
    from data.exploration.page import write_page
    from data.exploration.survey import survey
    from data.targets import check_file_target

    check_file_target(html, PAGE_EXAMPLE)
    measured = survey(description, sample=sample, workers=workers, progress=progress)
    findings = find(description, measured)
    write_page(description, findings, html)
    return findings
