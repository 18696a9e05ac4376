"""Levels of folders: the levels of the class, the patient and the publisher's part."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.layouts.file_names import propose_pattern
from data.layouts.levels import Levels, read_levels

CODES = [f"P{number:03d}" for number in range(1, 31)]
SUBTYPES = {
    "benign": ("adenosis", "fibroadenoma", "tubular_adenoma"),
    "malignant": ("ductal_carcinoma", "lobular_carcinoma", "papillary_carcinoma"),
}


def class_of(patient: str) -> str:
    return ("benign", "malignant")[int(patient[1:]) % 2]


def shaped(shape: str, **levels: tuple[str, ...]) -> list[str]:
    """Return folders of 30 patients of two classes, with every name of the other levels."""
    folders = []
    for number, patient in enumerate(CODES):
        known = {"class": class_of(patient), "patient": patient}
        if "split" in shape:
            known["split"] = ("Train", "val", "TEST")[number % 3]
        found = [""]
        for level in shape.split("/"):
            names = (known[level],) if level in known else levels[level]
            found = [f"{above}/{name}".strip("/") for above in found for name in names]
        folders += found
    return folders


def read(folders: list[str], **options) -> Levels:
    return read_levels(Counter(folders), **options)


VISITS = ("visit1", "visit2")
SHAPES: dict[str, dict[str, Any]] = {
    "class/patient": {},
    "patient/class": {},
    "class/patient/visit": {"visit": VISITS},
    "class/visit/patient": {"visit": VISITS},
    "patient/visit/class": {"visit": VISITS},
    "patient/class/visit": {"visit": ("v1", "v2", "v3")},
    "class/patient/side": {"side": ("left", "right")},
    "class/patient/magnification": {"magnification": ("40X", "100X", "200X")},
    "patient/date/class": {"date": ("2021-03-04", "2022-11-30")},
    "patient/day/class": {"day": ("1", "2", "3")},
    "split/class/patient": {},
    "split/patient/class": {},
    "class/split/patient": {},
    "top/images/class/patient": {"top": ("study",), "images": ("images",)},
    "class/patient/images": {"images": ("images",)},
    "site/class/patient": {"site": ("site 1", "site 2")},
    "class/patient/lesion": {"lesion": ("lesion7", "lesion8")},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_class_and_patient_of_each_folder_are_found(shape):
    folders = shaped(shape, **SHAPES[shape])
    levels = read(folders)
    assert levels.has_classes
    assert levels.has_patients
    for folder in folders:
        place = levels.places[folder]
        assert place.patient in folder.split("/")
        assert place.patient in CODES
        assert place.class_name == class_of(place.patient)
        assert (place.part in ("Train", "val", "TEST")) == ("split" in shape)
    assert levels.parts == (("TEST", "Train", "val") if "split" in shape else ())
    assert [word for word in levels.shape.split("/") if word in ("class", "patient")] == [
        word for word in shape.split("/") if word in ("class", "patient")
    ]


@pytest.mark.parametrize("shape", ["class/patient/visit", "patient/visit/class"])
@pytest.mark.parametrize("visits", [("visit1", "visit2"), ("1", "2")])
def test_patients_without_visits_stand_beside_others(shape, visits):
    folders = shaped(shape, visit=visits)
    without = {patient for patient in CODES if int(patient[1:]) % 3 == 0}
    folders = [
        "/".join(name for name in folder.split("/") if name not in visits)
        if without & {*folder.split("/")}
        else folder
        for folder in folders
    ]
    levels = read(folders)
    for folder in folders:
        place = levels.places[folder]
        assert place.patient in {*CODES} & {*folder.split("/")}
        assert place.class_name == class_of(place.patient)


def test_subtypes_and_magnifications_lie_between_class_and_patient():
    """The published layout of BreakHis."""
    patients = {
        f"BreaKHis_v1/breast/{name}/SOB/{subtype}/SOB_{name[0].upper()}_14-{20000 + number}AB": name
        for name, subtypes in SUBTYPES.items()
        for subtype in subtypes
        for number in range(hash_of(subtype), hash_of(subtype) + 9)
    }
    levels = read([f"{folder}/{power}X" for folder in patients for power in (40, 100, 200)])
    assert levels.shape == "class/*/*/patient/magnification/image"
    for folder, place in levels.places.items():
        assert place.class_name == patients[folder.rpartition("/")[0]]
        assert place.patient == folder.split("/")[-2]


def hash_of(text: str) -> int:
    return sum(map(ord, text))


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["benign", "malignant"], {"benign", "malignant"}),
        (["0", "1", "2", "3", "4"], {"0", "1", "2", "3", "4"}),
        ([f"{a}/{b}" for a, subtypes in SUBTYPES.items() for b in subtypes], {*SUBTYPES}),
        (["glioma/axial", "glioma/coronal", "none/axial"], {"glioma", "none"}),
        (["left", "right"], {"left", "right"}),
        (["top/mel"], {"mel"}),
        (["a/train", "a/test", "b/train", "b/test"], {"a", "b"}),
        (
            [f"x/{twice}{part}/{c}" for twice in ("", "x/") for part in ("train", "test")
             for c in ("NORMAL", "PNEUMONIA")],
            {"NORMAL", "PNEUMONIA"},
        ),
    ],
)  # fmt: skip
def test_folders_without_patients_name_the_class_alone(folders, classes):
    levels = read(folders)
    assert {place.class_name for place in levels.places.values()} == classes
    assert levels.has_classes
    assert not levels.has_patients


@pytest.mark.parametrize(
    "folders",
    [
        CODES,
        ["patient 1", "patient 2"],
        [f"{number}" for number in range(40)],
        [f"{patient}/visit{visit}" for patient in CODES for visit in (1, 2)],
        [f"{patient}/{side}" for patient in CODES for side in ("left", "right")],
        ["train", "val", "test"],
    ],
)
def test_patients_and_parts_alone_are_no_classes(folders):
    levels = read(folders)
    assert not levels.has_classes
    assert not levels.has_patients


@pytest.mark.parametrize(
    ("folders", "patients"),
    [
        # Grades are classes although they are numbers, as there are more patients than grades.
        ([f"{n % 5}/{n}" for n in range(100)], 100),
        ([f"{n}/{grade}" for n in range(20) for grade in range(5)], 20),
        # Equal names in several classes denote the same patients.
        ([f"{c}/p{n}" for c in ("a", "b") for n in range(6)], 6),
        ([f"{c}/{n}" for c in ("a", "b") for n in range(1, 6)], 5),
        # Volunteers rather than visits, as no other level can be the patient.
        ([f"{'ab'[n % 2]}/v{n:02d}" for n in range(40)], 40),
        # Names of patients above the class.
        (
            [
                f"{n}/{c}"
                for n in ["ann", "bob", "cem", "dan", "eve", "fay", "gus", "hal"]
                for c in "ab"
            ],
            8,
        ),
        # A stage of a disease rather than a visit, as it is above the patients.
        ([f"T{n % 2 + 1}/p{n:02d}" for n in range(10)], 10),
    ],
)
def test_unusual_names_keep_images_of_a_patient_together(folders, patients):
    levels = read(folders)
    assert len({place.patient for place in levels.places.values()}) == patients
    assert levels.has_classes


def test_images_beside_the_folders_belong_to_no_class():
    levels = read([*["train/a", "train/b", "test/a", "test/b"] * 20, "", "notes"])
    assert levels.parts == ("test", "train")
    assert levels.places[""].class_name == levels.places["notes"].class_name == ""
    assert levels.places["test/b"].class_name == "b"


def test_level_of_classes_that_a_pattern_finds_is_no_patient():
    grades = [f"{number}" for number in range(5)]
    assert not read(grades, classes=grades).has_patients
    assert read(CODES, classes=["mel", "nv"]).has_patients


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*SHAPES]),
    st.lists(st.sampled_from(["", "data", "my set/2020"]), max_size=2),
    st.randoms(use_true_random=False),
)
def test_order_and_folders_above_do_not_change_the_reading(shape, above, random):
    folders = shaped(shape, **SHAPES[shape])
    expected = read(folders).places
    prefix = "/".join(filter(None, above))
    moved = [f"{prefix}/{folder}".strip("/") for folder in folders]
    random.shuffle(moved)
    found = read(moved).places
    assert {folder[len(prefix) :].strip("/"): place for folder, place in found.items()} == expected


@pytest.mark.slow
def test_hundred_thousand_folders_take_seconds():
    folders = {
        f"{('sick', 'well')[n % 2]}/patient{n}/visit{v}": 10
        for n in range(20_000)
        for v in range(5)
    }
    started = time.process_time()
    levels = read_levels(folders)
    assert time.process_time() - started < 8
    assert levels.shape == "class/patient/visit/image"


# File names


def named(name: str) -> Iterator[str]:
    for patient in range(1, 21):
        for image in range(4):
            yield f"{'ab'[patient % 2]}/{name.format(p=patient, i=image, n=patient * 4 + image)}"


@pytest.mark.parametrize(
    ("name", "pattern", "first"),
    [
        ("P{p:03d}_{i:02d}.png", r"(P\d+)[^/]*$", "P001"),
        ("case-{p}_{i}.jpg", r"(case-\d+)[^/]*$", "case-1"),
        ("patient{p}-img{i}.jpg", r"(patient\d+)[^/]*$", "patient1"),
        ("{p}_{i}.png", r"(?:^|/)([A-Za-z]*\d+)[_ -][^/]*$", "1"),
        ("scan_P{p}_{i}.png", r"(P\d+)[^/]*$", "P1"),
        ("cell 7{p:02d} {i}.tif", r"(cell \d+)[^/]*$", "cell 701"),
    ],
)
def test_pattern_is_proposed_with_counts_and_examples(name, pattern, first):
    found = propose_pattern([*named(name)], classes=2)
    assert found is not None
    assert found.pattern == pattern
    assert (found.patients, found.images) == (20, 80)
    assert len(found.examples) == 3
    assert found.examples[0] == (name.format(p=1, i=0, n=4), first)


@pytest.mark.parametrize(
    "name", ["IMG_{n:04d}.jpg", "ISIC_{n:07d}.jpg", "{n}.png", "a ({n}).png", "2021030{i}_{n}.jpg"]
)
def test_no_pattern_is_proposed_where_each_image_would_be_its_own(name):
    assert propose_pattern([*named(name)], classes=2) is None
