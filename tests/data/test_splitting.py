import json
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.classes import select_classes
from data.config import SplitConfig
from data.errors import DataError
from data.layouts import Index
from data.schema import INDEX_SCHEMA, REJECT_SCHEMA, SPLITS
from data.splitting import SplitManifest, make_split, regroup

Row = tuple[str, str, str]  # group, class, fold


def index_of(rows: list[Row]) -> Index:
    table = pa.Table.from_pylist(
        [
            {
                "image_id": f"i{number}",
                "path": f"i{number}.png",
                "class_name": class_name,
                "patient_id": group,
                "group": group,
                "fold": fold,
            }
            for number, (group, class_name, fold) in enumerate(rows)
        ],
        INDEX_SCHEMA,
    )
    return Index(table, pa.Table.from_pylist([], REJECT_SCHEMA), "folders", "/source")


def table_of(rows: list[Row]) -> pa.Table:
    return select_classes(index_of(rows), None)[0]


def patients(class_name: str, *sizes: int, fold: str = "") -> list[Row]:
    """Return rows of patients of one class, given the number of images of each patient."""
    prefix = f"{class_name}{fold}"
    return [(f"{prefix}{n}", class_name, fold) for n, size in enumerate(sizes) for _ in range(size)]


# Properties of every division


@st.composite
def divisible(draw: st.DrawFn) -> list[Row]:
    """Draw images of two to four classes: at least three patients per class, and mixed ones."""
    classes = "abcd"[: draw(st.integers(2, 4))]
    rows: list[Row] = []
    for name in classes:
        sizes = draw(st.lists(st.integers(1, 40), min_size=3, max_size=12))
        rows += patients(name, *sizes)
    for number, held in enumerate(
        draw(st.lists(st.text(classes, min_size=2, max_size=6), max_size=5))
    ):
        rows += [(f"mixed{number}", name, "") for name in held]
    return rows


# Added images


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(divisible(), st.integers(0, 2**31), st.data())
def test_known_groups_keep_their_side_whatever_comes(rows, seed, data):
    config = SplitConfig(seed=seed)
    table = table_of(rows)
    before = make_split(table, config)
    more = [
        (f"new-{name}{n}", name, "") for name in "ab" for n in range(data.draw(st.integers(1, 9)))
    ]
    after = make_split(table_of([*rows, *more]), config, before)
    assert {group: after.assignments[group] for group in before.assignments} == before.assignments
    assert set(after.assignments) == set(before.assignments) | {group for group, *_ in more}
    again = make_split(table_of([*more, *rows]), config, before)
    assert again.checksum == after.checksum


def test_many_new_groups_bring_the_shares_that_were_asked_for():
    config = SplitConfig(seed=1)
    old = [*patients("a", *[5] * 4), *patients("b", *[5] * 4)]
    before = make_split(table_of(old), config)
    new = [(f"new-{group}", name, "") for group, name, _ in patients("a", *range(3, 60))]
    new += [(f"new-{group}", name, "") for group, name, _ in patients("b", *range(2, 40))]
    table = table_of([*old, *new])
    sides = make_split(table, config, before).assignments
    for name in "ab":
        held = Counter(sides[g] for g, n, _ in [*old, *new] if n == name)
        total = sum(held.values())
        assert held["test"] / total == pytest.approx(config.test, abs=0.03)
        assert held["validation"] / total == pytest.approx(config.validation, abs=0.03)


def test_groups_that_are_gone_are_left_out_of_the_split():
    config = SplitConfig(seed=1)
    rows = [*patients("a", *[5] * 8), *patients("b", *[5] * 8)]
    before = make_split(table_of(rows), config)
    gone = next(g for g, s in before.assignments.items() if s == "train")
    after = make_split(table_of([row for row in rows if row[0] != gone]), config, before)
    assert set(after.assignments) == set(before.assignments) - {gone}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(divisible(), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_split_is_disjoint_complete_and_reproducible(rows, seed, random):
    config = SplitConfig(seed=seed)
    table = table_of(rows)
    manifest = make_split(table, config)
    assert set(manifest.assignments) == {group for group, _, _ in rows}
    assert set(manifest.assignments.values()) == set(SPLITS)
    seen = {(manifest.assignments[group], name) for group, name, _ in rows}
    assert len(seen) == len(SPLITS) * len({name for _, name, _ in rows})
    order = list(range(len(rows)))
    random.shuffle(order)
    assert make_split(table.take(order), config) == manifest
    assert SplitManifest.from_json(manifest.to_json()) == manifest


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 0.3), st.floats(0.1, 0.3), st.floats(0.2, 0.8))
def test_split_of_many_patients_is_near_the_asked_shares_in_every_class(
    seed, validation, test, infected
):
    generator = np.random.default_rng(seed)
    rows = [
        (f"p{patient}", "ab"[int(generator.random() < infected)], "")
        for patient in range(120)
        for _ in range(int(generator.integers(20, 200)))
    ]
    manifest = make_split(table_of(rows), SplitConfig(validation=validation, test=test, seed=seed))
    images = Counter((name, manifest.assignments[group]) for group, name, _ in rows)
    for name in "ab":
        total = sum(images[name, split] for split in SPLITS)
        assert images[name, "test"] / total == pytest.approx(test, abs=0.03)
        assert images[name, "validation"] / total == pytest.approx(validation, abs=0.03)
    sides = Counter(manifest.assignments.values())
    assert sides["test"] / 120 == pytest.approx(test, abs=0.03)


@pytest.mark.slow
def test_split_is_at_least_as_close_as_scikit_learns():
    from sklearn.model_selection import StratifiedGroupKFold

    generator = np.random.default_rng(5)
    rows = [
        (f"p{patient}", "ab"[int(generator.random() < generator.beta(0.5, 0.5))], "")
        for patient in range(90)
        for _ in range(int(generator.pareto(1.5) * 20) + 1)
    ]
    groups = np.array([group for group, _, _ in rows])
    labels = np.array([name == "b" for _, name, _ in rows], int)

    def deviation(in_test: np.ndarray) -> float:
        return max(abs(float(in_test[labels == label].mean()) - 0.2) for label in (0, 1))

    def ours(seed: int) -> float:
        manifest = make_split(table_of(rows), SplitConfig(seed=seed))
        return deviation(np.array([manifest.assignments[group] == "test" for group in groups]))

    def theirs(seed: int) -> float:
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        chosen = next(iter(folds.split(labels, labels, groups)))[1]
        return deviation(np.isin(np.arange(len(rows)), chosen))

    assert np.mean([ours(seed) for seed in range(5)]) <= np.mean([theirs(s) for s in range(5)])


@pytest.mark.slow
def test_seeds_draw_different_patients():
    table = table_of(patients("a", *range(10, 40)) + patients("b", *range(10, 40)))
    tests = []
    for seed in range(3):
        manifest = make_split(table, SplitConfig(seed=seed))
        tests.append({g for g, split in manifest.assignments.items() if split == "test"})
    assert len(tests[0] & tests[1] & tests[2]) < len(tests[0]) / 2


# Indivisible data


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (patients("a", 5) + patients("b", 5), "2 patients cannot fill 3 parts"),
        (patients("a", 5, 5, 5, 5) + patients("b", 50, 50), "class 'b' has 2 patients"),
        (
            [(f"p{n}", name, "") for n in range(3) for name in "ab"]
            + [("p0", "c", ""), ("p1", "c", ""), ("p2", "c", "")],
            None,
        ),
    ],
)
def test_too_few_patients_are_named(rows, message):
    if message is None:
        assert len(make_split(table_of(rows), SplitConfig()).assignments) == 3
        return
    with pytest.raises(DataError, match=message):
        make_split(table_of(rows), SplitConfig())


def test_mixed_patients_that_leave_no_choice_are_explained():
    # Seven classes, each with three of seven patients: every division into three parts misses
    # some class in one part (the Fano plane has no such coloring).
    lines = ["abd", "bce", "cdf", "deg", "efa", "fgb", "gac"]
    rows = [(f"p{patient}", name, "") for patient, held in enumerate(lines) for name in held]
    with pytest.raises(DataError, match="groups contain several classes"):
        make_split(table_of(rows), SplitConfig())


# By image, by folds, by manifest


def test_by_image_lets_a_patient_stand_on_several_sides():
    table = regroup(table_of(patients("a", *[30] * 4) + patients("b", *[30] * 4)), "image")
    manifest = make_split(table, SplitConfig(by="image"))
    sides = defaultdict(set)
    columns = (table.column(name).to_pylist() for name in ("image_id", "patient_id"))
    for image, patient in zip(*columns, strict=True):
        sides[patient].add(manifest.assignments[image])
    assert all(len(found) > 1 for found in sides.values())
    assert Counter(manifest.assignments.values()) == {"train": 156, "validation": 36, "test": 48}


FOLDED = [
    row
    for fold in ("fold_0", "fold_1", "fold_2")
    for name in "ab"
    for row in patients(name, 4, 5, 6, fold=fold)
]


def test_folds_of_the_publisher_are_used_as_they_are():
    table = table_of(FOLDED)
    fold_of = {group: fold for group, _, fold in FOLDED}
    named = SplitConfig(method="folds", test_folds=("fold_2",), validation_folds=("fold_0",))
    split_of_fold = {"fold_0": "validation", "fold_1": "train", "fold_2": "test"}
    for group, side in make_split(table, named).assignments.items():
        assert side == split_of_fold[fold_of[group]]
    drawn = make_split(table, SplitConfig(method="folds", test_folds=("fold_2",)))
    for group, side in drawn.assignments.items():
        assert (side == "test") == (fold_of[group] == "fold_2")
    assert set(drawn.assignments.values()) == set(SPLITS)


@pytest.mark.parametrize(
    ("rows", "folds", "message"),
    [
        (FOLDED, {"test_folds": ["fold_9"]}, "no fold 'fold_9'.*fold_0, fold_1, fold_2"),
        (patients("a", 1) + patients("b", 1), {"test_folds": ["x"]}, "published without folds"),
        (FOLDED, {"test_folds": ["fold_1"], "validation_folds": ["fold_1"]}, "both|at once"),
        ([*FOLDED, ("afold_00", "a", "fold_1")], {"test_folds": ["fold_1"]}, "patient afold_00"),
        (
            [*FOLDED, *patients("c", 3, 3, 3)],
            {"test_folds": ["fold_1"], "validation_folds": ["fold_2"]},
            "'validation' would contain no image of c",
        ),
    ],
)
def test_unusable_folds_are_refused(rows, folds, message):
    with pytest.raises(DataError, match=message):
        make_split(table_of(rows), SplitConfig(method="folds", **folds))


def test_manifest_is_used_as_it_is_and_must_cover_the_data(tmp_path):
    rows = patients("a", 3, 4, 5, 6) + patients("b", 3, 4, 5, 6)
    manifest = make_split(table_of(rows), SplitConfig(seed=3))
    manifest.save(tmp_path / "split.json")
    given = SplitConfig(manifest=str(tmp_path / "split.json"))
    assert make_split(table_of(rows), given) == manifest
    with pytest.raises(DataError, match=r"split\.json does not cover 1 groups .*\(new\)"):
        make_split(table_of([*rows, ("new", "a", "")]), given)
    with pytest.raises(DataError, match="divides by patient, but image was requested"):
        make_split(table_of(rows), given.model_copy(update={"by": "image"}))
    with pytest.raises(DataError, match="no such split manifest"):
        make_split(table_of(rows), SplitConfig(manifest=str(tmp_path / "missing.json")))


# The manifest


MANIFEST = SplitManifest("patient", 0, {"p1": "train", "p2": "validation", "p3": "test"})


def test_checksum_tells_divisions_apart_and_ignores_order_and_seed():
    other = {"p3": "test", "p2": "validation", "p1": "train"}
    assert SplitManifest("patient", 9, other).checksum == MANIFEST.checksum
    assert SplitManifest("image", 0, other).checksum != MANIFEST.checksum
    moved = {**MANIFEST.assignments, "p1": "test"}
    assert SplitManifest("patient", 0, moved).checksum != MANIFEST.checksum


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ('"p1": "train"', '"p1": "test"', "changed after it was written"),
        ('"p1": "train"', '"p1": "train", "p1": "test"', "lists 'p1' twice"),
        ('"p1": "train"', '"p1": "training"', "assigns group p1 to 'training'"),
        ('"p1": "train"', '"p1": ["train"]', "assigns group p1 to"),
        ('"by": "patient"', '"by": "image"', "changed after it was written"),
        ('"by": "patient"', '"by": "week"', "divides by 'week'"),
        ('"seed": 0,', "", "must contain"),
        ('"assignments"', "assignments", "not JSON"),
    ],
)
def test_damaged_manifest_is_refused(find, replace, message):
    text = MANIFEST.to_json()
    assert find in text
    with pytest.raises(DataError, match=message):
        SplitManifest.from_json(text.replace(find, replace))


@pytest.mark.parametrize("text", ["", "[]", "null", json.dumps({"assignments": {}})])
def test_other_json_is_no_manifest(text):
    with pytest.raises(DataError):
        SplitManifest.from_json(text)


# Classes


def test_classes_keep_the_asked_order_and_leave_others_out():
    index = index_of([("p1", "nv", ""), ("p2", "mel", ""), ("p3", "df", "")])
    table, names, notes = select_classes(index, ["nv", "df"])
    assert names == ("nv", "df")
    assert table.column("class_name").to_pylist() == ["nv", "df"]
    assert table.column("label").to_pylist() == [0, 1]
    assert table.schema.field("label").type == pa.int32()
    assert notes == ("1 images of other classes were left out: mel 1.",)


def test_classes_can_be_merged_under_a_new_name():
    index = index_of([("p1", "nv", ""), ("p2", "mel", ""), ("p3", "bcc", "")])
    table, names, notes = select_classes(index, {"nv": ["nv"], "cancer": ["mel", "bcc"]})
    assert names == ("nv", "cancer")
    assert table.column("class_name").to_pylist() == ["nv", "cancer", "cancer"]
    assert notes == ("Class cancer consists of mel, bcc.",)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["nv", "mell"], "no images of class 'mell'; it has mel, nv; did you mean 'mel'"),
        (["nv"], "needs at least two classes, selected: nv"),
        (["nv", "nv"], "given twice"),
        ({"a": ["nv"], "b": ["nv", "mel"]}, "cannot be merged into both 'a' and 'b'"),
        ({"a": ["nv", "mel"], "b": []}, "'b' merges no class"),
    ],
)
def test_unusable_classes_are_refused(classes, message):
    with pytest.raises(DataError, match=message):
        select_classes(index_of([("p1", "nv", ""), ("p2", "mel", "")]), classes)
