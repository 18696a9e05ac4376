"""Verdict on a data set: fine for training, or what has to be mended first, with the commands."""

from collections.abc import Iterator
from dataclasses import dataclass

from data.description import Description
from data.exploration import kinds
from data.exploration.findings import Findings
from data.invocation import command
from data.rejects import LOST, count_kinds, in_words, of_kinds
from data.schema import SPLITS

#: Placeholder for the folder of a data set that does not exist yet.
_NEW = "NEW_FOLDER"
_PAGE = "report.html"


@dataclass(frozen=True)
class Mend:
    """A problem of a data set, and its remedy."""

    #: Sentence that states the problem.
    problem: str
    #: Sentence that states the remedy.
    action: str
    #: Command line for it; empty if no command can do it.
    command: str = ""


@dataclass(frozen=True)
class Verdict:
    """Result of checking a data set for training: the problems to mend first, if there are any."""

    mends: tuple[Mend, ...]
    #: True if only a part of the images was read.
    sampled: bool

    @property
    def fine(self) -> bool:
        """True if there is nothing to mend."""
        return not self.mends

    @property
    def headline(self) -> str:
        """The verdict as a sentence."""
        if self.mends:
            number = len(self.mends)
            return f"{number} {'thing' if number == 1 else 'things'} to mend before training."
        if self.sampled:
            return "Fine as far as the images were read: nothing to mend was found in the sample."
        return "Fine: nothing to mend before training was found."


def verdict(description: Description, findings: Findings) -> Verdict:
    """Return the verdict on the images of a survey.

    Only findings that bias a score or stop an ingest are things to mend. Outliers in color and
    files that are no images are remarks: they are reported, and they may be intended.

    Parameters
    ----------
    description, findings
        The images and the result of their survey.
    """
    mends = (
        *_leaks(description, findings),
        *_patients(description),
        *_labels(description, findings),
        *_classes(description),
        *_lost(description, findings),
        *_shortcuts(description, findings),
    )
    return Verdict(mends, findings.survey.is_sample)


def _leaks(description: Description, findings: Findings) -> Iterator[Mend]:
    again = command("data", "prepare", "SOURCE", _NEW)
    if sides := findings.duplicates.across("split"):
        yield Mend(
            f"{_images(len(sides))} on two sides of the split, which makes the test score too "
            "high.",
            "Keep one copy of each in the source and prepare it again.",
            again,
        )
    elif description.has_patients and (several := findings.duplicates.across("patient_id")):
        yield Mend(
            f"{_images(len(several))} with more than one of the {description.group_word}, so that "
            "a copy may be in the training set and another in the test set.",
            f"Find out which {description.unit} each belongs to, or keep one copy (listed under "
            "Duplicates), and describe the images again.",
            _describe(description),
        )
    if alike := [found for found in findings.similar or () if found.leaks]:
        number = "One set" if len(alike) == 1 else f"{len(alike):,} sets"
        yield Mend(
            f"{number} of images on two sides of a split by {description.unit} look the same and "
            "may be one image saved again.",
            "Compare them by eye (listed under Duplicates); if they are the same, keep one copy "
            "and describe the images again.",
            _describe(description),
        )


def _patients(description: Description) -> Iterator[Mend]:
    if description.has_patients or description.prepared:
        return
    yield Mend(
        "The patients are not known. If there are several images per patient, those of one patient "
        "can be in the training set and in the test set, which makes the test score too high.",
        "Name the part of the path that identifies the patient, or use --labels with a table; if "
        "every image is of another patient, nothing needs to be done.",
        command(
            *("data", "describe", description.source, "--group-pattern", r"(patient_\d+)"),
            *("--html", _PAGE),
        ),
    )


def _labels(description: Description, findings: Findings) -> Iterator[Mend]:
    if twice := findings.duplicates.across("class_name"):
        yield Mend(
            f"{_images(len(twice))} in two classes: one of the labels is wrong.",
            "Keep the copy with the right label (listed under Duplicates), and describe the images "
            "again.",
            _describe(description),
        )


def _classes(description: Description) -> Iterator[Mend]:
    if description.prepared:
        return
    group = description.group_word
    few = [one.class_name for one in description.classes if one.patients < len(SPLITS)]
    if not few:
        return
    kept = [one.class_name for one in description.classes if one.class_name not in few]
    options = [word for name in kept for word in ("--class", name)]
    problem = (
        f"{'Class' if len(few) == 1 else 'Classes'} {', '.join(few)}: fewer than {len(SPLITS)} "
        f"{group}, but train, validation and test need one each."
    )
    if len(kept) < 2:
        yield Mend(problem, f"Add images of more {group}.")
        return
    yield Mend(
        problem,
        f"Add images of more {group}, merge classes with --class NEW=A,B, or omit "
        f"{'it' if len(few) == 1 else 'them'}.",
        command("data", "prepare", description.source, _NEW, *options),
    )


def _lost(description: Description, findings: Findings) -> Iterator[Mend]:
    lost = of_kinds(findings.rejects, LOST)
    if description.prepared or not lost.num_rows:
        return
    yield Mend(
        f"{in_words(count_kinds(lost)).capitalize()} (reasons under Rejects).",
        "Copy these files again from where they came from. Otherwise an ingest leaves them out; "
        "with the following option it uses damaged images that a decoder can repair.",
        command("data", "prepare", description.source, _NEW, "--damaged", "accept"),
    )


def _shortcuts(description: Description, findings: Findings) -> Iterator[Mend]:
    if description.prepared:
        return
    for sentence in kinds.file_shortcuts(findings.readable):
        yield Mend(
            sentence,
            "Use images of all classes from the same device and export, in one size and format.",
        )


def _describe(description: Description) -> str:
    return command("data", "describe", description.source, "--html", _PAGE)


def _images(number: int) -> str:
    return "One image occurs" if number == 1 else f"{number:,} images occur"
