"""Findings of a survey as sentences, leaks first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from data.description import Description
from data.duplicates import Duplicates, DuplicateSet, duplicates_of
from data.exploration import kinds
from data.exploration.colour import (
    LEAST_IMAGES,
    LEAST_PATIENTS,
    FarPatient,
    can_judge,
    far_patients,
    image_figures,
    patient_figures,
)
from data.exploration.similar import MOST_IMAGES, similar_sets
from data.exploration.survey import Survey
from data.names import visible
from data.rejects import LOST, count_kinds, in_words, of_kinds
from data.schema import NOTICE, REJECT_SCHEMA, SPLITS, UNREADABLE

if TYPE_CHECKING:
    import pandas as pd

#: Images with less contrast (standard deviation of luma, gray levels) are considered empty.
_EMPTY_PICTURE = 1.0
#: Outliers that a remark names.
_NAMED = 6


@dataclass(frozen=True)
class Findings:
    """Results of a survey that the page shows."""

    survey: Survey
    #: The table of the survey as a data frame, for counting.
    frame: "pd.DataFrame"
    duplicates: Duplicates
    #: Sets of images that may be the same; None if there are too many images to compare.
    similar: tuple[DuplicateSet, ...] | None
    #: Result of `data.exploration.colour.image_figures`.
    images: "pd.DataFrame"
    #: Result of `data.exploration.colour.patient_figures`.
    patients: "pd.DataFrame"
    #: Result of `data.exploration.colour.far_patients`.
    far: list[FarPatient]
    #: Rejects of the description, and files that cannot be read.
    rejects: pa.Table
    #: Sentences on images that training and test sets may share.
    leaks: list[str]
    #: Sentences on other findings.
    remarks: list[str]

    @property
    def readable(self) -> "pd.DataFrame":
        """The rows of ``frame`` that are images."""
        return self.frame[self.frame["reason"].isna()]


def find(description: Description, survey: Survey) -> Findings:
    """Return the findings of a survey."""
    compared = survey.table
    if not description.has_patients:
        # Copies then form one group, so none of them can belong to another patient.
        compared = compared.drop_columns(["patient_id"])
    duplicates = duplicates_of(compared)
    similar = similar_sets(compared) if compared.num_rows <= MOST_IMAGES else None
    images = image_figures(survey.table)
    patients = patient_figures(images)
    far = far_patients(patients) if description.has_patients else []
    frame = survey.table.drop_columns(["signature", "source_xxh128", "pixels_sha256"]).to_pandas()
    rejects = _rejects(description, frame)
    remarks = [
        *_on_classes(description, duplicates),
        *_on_rejects(rejects),
        *([] if description.prepared else kinds.file_shortcuts(frame[frame["reason"].isna()])),
        *_on_misnamed([] if description.prepared else kinds.misnamed(frame)),
        *_on_empty(frame),
        *_on_far(description, far),
    ]
    leaks = _leaks(description, duplicates, similar or ())
    return Findings(
        survey, frame, duplicates, similar, images, patients, far, rejects, leaks, remarks
    )


def rule(description: Description, patients: "pd.DataFrame") -> str:
    """Return the sentence on the rule by which outliers are found, or why none are."""
    group, judged = description.group_word, int((patients["images"] >= LEAST_IMAGES).sum())
    if not can_judge(patients):
        return (
            f"{judged} {group} have {LEAST_IMAGES} images or more, too few to identify outliers "
            f"({LEAST_PATIENTS} are needed)."
        )
    return (
        f"Outliers have a modified z score beyond 3.5 (Iglewicz and Hoaglin 1993: 0.6745 times the "
        f"distance from the median of all {group}, in median absolute deviations) and differ by at "
        f"least 5 gray levels or 0.01 of a share, among the {judged:,} {group} with "
        f"{LEAST_IMAGES} images or more."
    )


def _leaks(
    description: Description, duplicates: Duplicates, similar: Sequence[DuplicateSet]
) -> list[str]:
    group = description.group_word
    patients, sides = duplicates.across("patient_id"), duplicates.across("split")
    sentences = []
    if sides:
        sentences.append(
            f"{_pictures(len(sides))} on two sides of the split: the network is trained on images "
            f"that it is tested on ({_example(sides, 'split')}). Keep one copy of each and "
            "prepare again."
        )
    if patients:
        sentences.append(
            f"{_pictures(len(patients))} with more than one of the {group} "
            f"({_example(patients, 'patient_id')}). A split by "
            f"{description.unit} does not keep them together: keep one copy of each, or find out "
            f"which {description.unit} they belong to."
        )
    alike = [found for found in similar if found.leaks]
    by_patient = any(found.differ("patient_id") for found in alike)
    if alike:
        where = f"with more than one of the {group}" if by_patient else "on two sides of the split"
        sentences.append(
            f"{len(alike):,} {'set' if len(alike) == 1 else 'sets'} of images {where} "
            "look the same and may be one image saved again "
            f"({_example(alike, 'patient_id' if by_patient else 'split')}): compare them below."
        )
    return sentences


def _pictures(number: int) -> str:
    return "One image occurs" if number == 1 else f"{number:,} images occur"


def _example(sets: Sequence[DuplicateSet], column: str) -> str:
    """Return an example of two images of one set that differ in ``column``."""
    images = next(found for found in sets if found.differ(column)).images
    other = next(image for image in images if image[column] != images[0][column])
    return f"for example {visible(images[0]['path'])} and {visible(other['path'])}"


def _on_classes(description: Description, duplicates: Duplicates) -> list[str]:
    sentences = []
    twice = duplicates.across("class_name")
    if twice:
        sentences.append(
            f"{_pictures(len(twice))} in two classes ({_example(twice, 'class_name')}): one label "
            "is wrong."
        )
    few = [counts for counts in description.classes if counts.patients < len(SPLITS)]
    for counts in few:
        sentences.append(
            f"Class {visible(counts.class_name)} has {counts.patients} of the "
            f"{description.group_word}: train, validation and test need one each."
        )
    return sentences


def _on_rejects(rejects: pa.Table) -> list[str]:
    if not of_kinds(rejects, LOST).num_rows:
        return []
    return [f"{in_words(count_kinds(rejects)).capitalize()} (reasons under Rejects)."]


def _on_misnamed(paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    return [
        f"Files whose format differs from their suffix, read by content: {len(paths):,} "
        f"(for example {visible(paths[0])})."
    ]


def _on_empty(frame: "pd.DataFrame") -> list[str]:
    empty = frame.loc[frame["spread"] < _EMPTY_PICTURE, "path"]
    if empty.empty:
        return []
    return [
        f"Images of a single color, which show nothing: {len(empty):,} (for example "
        f"{visible(empty.iloc[0])})."
    ]


def _on_far(description: Description, far: Sequence[FarPatient]) -> list[str]:
    if not far:
        return []
    words: dict[str, list[str]] = {}
    for one in far:
        words.setdefault(one.patient_id, []).append(one.word)
    named = [
        f"{visible(patient)} ({', '.join(found)})" for patient, found in [*words.items()][:_NAMED]
    ]
    more = f" and {len(words) - _NAMED:,} more" if len(words) > _NAMED else ""
    verb = "differs" if len(words) == 1 else "differ"
    return [
        f"Of the {description.group_word}, {', '.join(named)}{more} {verb} strongly from the "
        "others in brightness or color: a different stain, camera or cell type?"
    ]


def _rejects(description: Description, frame: "pd.DataFrame") -> pa.Table:
    """Return files that cannot be read and files or rows that the layout did not use."""
    unreadable = frame.loc[frame["reason"].notna(), ["path", "reason"]].assign(kind=UNREADABLE)
    table = pa.Table.from_pandas(unreadable, REJECT_SCHEMA, preserve_index=False)
    counted = pc.not_equal(description.rejects.column("kind"), NOTICE)
    return pa.concat_tables([table, description.rejects.filter(counted)])


def reasons(rejects: pa.Table) -> list[tuple[str, int]]:
    """Return the reasons why files and rows are not used with their counts, most common first."""
    return Counter(rejects.column("reason").to_pylist()).most_common()
