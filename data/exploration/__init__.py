"""Looking at every image of a source or a prepared data set before anything is trained on it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.describe import Description
    from data.exploration.findings import Findings


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
    from data.exploration.page import check_target, write_page
    from data.exploration.survey import survey

    check_target(html)
    measured = survey(description, sample=sample, workers=workers, progress=progress)
    findings = find(description, measured)
    write_page(description, findings, html)
    return findings
