"""Looking at every image of a source or a prepared data set before anything is trained on it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.describe import Description
    from data.exploration.findings import Findings


#: How a page may be called, for messages.
PAGE_EXAMPLE = "report.html"


def explore(
    description: "Description",
    html: str,
    *,
    sample: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> "Findings":
    """Measure the images of ``description`` and write what they show as one HTML page.

    Parameters
    ----------
    description
        As `data.describe.describe` returns it.
    html
        File or address of the page; what stands there is replaced.
    sample, workers, progress
        As for `data.exploration.survey.survey`.

    Raises
    ------
    DataError
        When the page cannot be written, or the data set holds features and no pixels.
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
