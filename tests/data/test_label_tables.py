"""User-made tables: columns, separators and paths are recognized, or requested by a message."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from data.any_table import image_list_as_table
from data.errors import DataError
from data.layouts.base import Index
from tests.data.layout_reading import column, read, rejects, touch

IMAGES = [f"photos/{part}/ISIC_{number:03}.jpg" for number, part in enumerate("abcd" * 5)]
#: Image, label, patient and lesion of each image.
CELLS = [
    (path, ("nevus", "melanoma")[number % 2], f"p{number // 4}", f"l{number // 2}")
    for number, path in enumerate(IMAGES)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    touch(tmp_path, *IMAGES)
    return tmp_path


def table(header: str, rows: Sequence[tuple[str, ...]], separator: str = ",") -> str:
    lines = [header, *(separator.join(row) for row in rows)]
    return "\n".join(lines) + "\n"


def names(*columns: str) -> list[tuple[str, ...]]:
    """Return rows of file name, label and patient, with further columns in between."""
    return [(path.rpartition("/")[2], label, *columns, p) for path, label, p, _ in CELLS]


def has_all(index: Index, unit: str = "patient") -> None:
    assert (index.layout, index.unit, rejects(index)) == ("csv", unit, {})
    assert column(index, "path") == sorted(IMAGES)
    assert column(index, "class_name") == [
        label for _, label in sorted((path, label) for path, label, *_ in CELLS)
    ]
    if unit == "patient":
        assert column(index, "group") == [p for _, p in sorted((c[0], c[2]) for c in CELLS)]


@pytest.mark.parametrize(
    ("name", "header", "separator", "encoding"),
    [
        ("t.csv", "filename,diagnosis,patient_id", ",", "utf-8"),
        ("t.CSV", "File Name;Diagnosis;Patient ID", ";", "utf-8-sig"),
        ("t.tsv", "IMAGE\tTARGET\tCASE", "\t", "utf-8"),
        ("t.tab", "img\tdx\tsubject", "\t", "utf-16"),
        ("t.txt", "Image_Name|Class|MRN", "|", "utf-8"),
        ("t.csv", "sep=;\nisic_id;ground truth;Person", ";", "utf-8"),
        ("t.csv", '"Dateiname";"Befund";"Patienten-Nummer"', ";", "cp1252"),
        ("metadata/t.csv", "path,label,group", ",", "utf-8"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables_of_many_kinds_are_recognised_beside_the_images(
    folder: Path, name: str, header: str, separator: str, encoding: str, newline: str
):
    touch(folder, name)
    content = table(header, names(), separator).replace("\n", newline)
    (folder / name).write_bytes(content.encode(encoding))
    has_all(read(folder))
    has_all(read(folder, labels=str(folder / name)))


def test_what_was_read_is_said_with_the_options(folder: Path):
    (folder / "labels.csv").write_text(
        table("Filename;Diagnosis;Patient ID", names(), ";"), encoding="utf-8"
    )
    assert read(folder).reading == (
        "read as table labels.csv (semicolons): path 'Filename', label 'Diagnosis', group "
        "'Patient ID'; 2 classes, 5 patients, 20 images",
        "other columns: --path-column, --label-column, --group-column",
    )


def test_windows_1252_is_read_with_a_note_and_says_its_names(folder: Path):
    rows = [(name, "nävus" if label == "nevus" else "melanom", p) for name, label, p in names()]
    (folder / "t.csv").write_bytes(table("bild;befund;patient", rows, ";").encode("cp1252"))
    index = read(folder)
    assert {*column(index, "class_name")} == {"nävus", "melanom"}
    assert any("read as Windows-1252" in note for note in index.notes)


@pytest.mark.parametrize(
    "write",
    [
        lambda path, _: path.replace("/", "\\"),
        lambda path, _: path.rpartition("/")[2].removesuffix(".jpg"),
        lambda path, _: path.replace(".jpg", ".JPG"),
        lambda path, _: path.removeprefix("photos/"),
        lambda path, root: f"{root}/{path}",
        lambda path, _: "D:\\study\\" + path.replace("/", "\\"),
        lambda path, _: f"/home/someone/set/{path}",
        lambda path, _: f"./{path.upper()}",
    ],
    ids=["backslash", "bare", "capitals", "inner", "absolute", "windows", "other", "upper"],
)
def test_paths_of_many_kinds_find_their_images(folder: Path, write):
    rows = [(write(path, folder), label, p) for path, label, p, _ in CELLS]
    (folder / "t.csv").write_text(table("image,label,patient", rows))
    index = read(folder)
    has_all(index)
    moved = [note for note in index.notes if "in another folder by its name: 20" in note]
    assert bool(moved) == rows[0][0].startswith(("D:", "/home", "a/"))


def test_table_elsewhere_starts_paths_at_its_folder_or_at_the_images(
    folder: Path, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("tables") / "t.csv"
    for start in ("", f"../{folder.name}/", f"{folder}/"):
        rows = [(start + path, label, p) for path, label, p, _ in CELLS]
        elsewhere.write_text(table("path,label,patient", rows))
        has_all(read(folder, labels=str(elsewhere)))
    with pytest.raises(DataError, match="--layout is 'folders'"):
        read(folder, labels=str(elsewhere), layout="folders")
    with pytest.raises(DataError, match=r"--labels .*gone\.csv cannot be read: No such file"):
        read(folder, labels=str(elsewhere.with_name("gone.csv")))


def test_names_of_several_files_are_rejects_unless_a_folder_tells_them_apart(tmp_path: Path):
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.png", "c/3.png")
    rows = "1.png,x\n/elsewhere/b/1.png,y\n2.png,y\n3.png,x\n"
    (tmp_path / "t.csv").write_text("file,label\n" + rows)
    index = read(tmp_path)
    assert column(index, "path") == ["b/1.png", "b/2.png", "c/3.png"]
    assert rejects(index)["t.csv, row 2"] == (
        "names 1.png, which may be 2 files (a/1.png and b/1.png): write the folder too"
    )
    assert any("match several files" in note and "(row 2)" in note for note in index.notes)


def test_row_of_a_missing_image_is_not_taken_for_an_image_that_another_row_names(tmp_path: Path):
    touch(tmp_path, "b/1.png", "b/2.png")
    (tmp_path / "t.csv").write_text("file,label\na/1.png,x\nb/1.png,y\nb/2.png,x\n")
    index = read(tmp_path)
    assert column(index, "class_name") == ["y", "x"]
    assert rejects(index) == {"a/1.png": "is listed in t.csv and was not found"}


def test_without_a_group_each_image_is_one_and_the_reading_says_so(folder: Path):
    (folder / "t.csv").write_text(table("image,label,age", [(n, lb, "40") for n, lb, _ in names()]))
    index = read(folder)
    has_all(index, "image")
    assert column(index, "patient_id") == column(index, "group") == column(index, "image_id")
    assert "no column names the patient" in index.reading[1]
    assert "--group-column" in index.reading[1]


@pytest.mark.parametrize(
    ("header", "unit", "group"),
    [
        ("image,label,lesion_id,patient", "patient", "p0"),
        ("image,label,patient,lesion_id", "patient", "l0"),
        ("image,label,lesion,note", "lesion", "l0"),
        ("image,label,note,Lesion ID", "lesion", "p0"),
    ],
)
def test_patient_wins_over_lesion(folder: Path, header: str, unit: str, group: str):
    rows = [(path, label, lesion, p) for path, label, p, lesion in CELLS]
    if header.endswith("patient,lesion_id"):
        group = "l0"
    (folder / "t.csv").write_text(table(header, rows))
    index = read(folder)
    assert (index.unit, column(index, "group")[0]) == (unit, group)


def test_isic_tables_are_read(folder: Path):
    header = "image_name,patient_id,lesion_id,sex,age_approx,diagnosis,benign_malignant,target"
    rows = [
        (
            Path(path).stem, p, lesion, ("male", "female")[number % 3 == 0], str(number % 5 * 10),
            ("unknown", "nevus", "melanoma")[number % 2 * 2 or number % 4 // 2],
            ("benign", "malignant")[number % 2], str(number % 2),
        )
        for number, (path, _, p, lesion) in enumerate(CELLS)
    ]  # fmt: skip
    (folder / "train.csv").write_text(table(header, rows))
    index = read(folder)
    assert "label 'benign_malignant', group 'patient_id'" in index.reading[0]
    assert column(index, "class_name")[:2] == ["benign", "benign"]
    index = read(folder, label_column="target", group_column="Lesion_ID")
    assert {*column(index, "class_name")} == {"0", "1"}
    assert (index.unit, column(index, "group")[0]) == ("lesion", "l0")


def test_one_hot_columns_are_classes_where_one_is_1(folder: Path):
    rows = [
        (Path(path).stem, *("1.0" if k == number % 3 else "0.0" for k in range(3)))
        for number, path in enumerate(IMAGES)
    ]
    (folder / "truth.csv").write_text(table("image,MEL,NV,BCC", rows))
    index = read(folder)
    by_path = dict(zip(column(index, "path"), column(index, "class_name"), strict=True))
    assert [by_path[path] for path in IMAGES[:4]] == ["MEL", "NV", "BCC", "MEL"]
    assert "label the 1 in 3 columns ('MEL', 'NV', 'BCC')" in index.reading[0]
    rows[4] = (rows[4][0], "1.0", "1.0", "0.0")
    (folder / "truth.csv").write_text(table("image,MEL,NV,BCC", rows))
    with pytest.raises(DataError, match="which column holds the labels"):
        read(folder / "truth.csv")


def test_label_without_a_known_name_is_the_column_of_few_values(folder: Path):
    rows = [(name, f"note {k}", label, "40", p) for k, (name, label, p) in enumerate(names())]
    (folder / "t.csv").write_text(table("x1,remark,what,age,patient", rows))
    has_all(read(folder / "t.csv"))


def test_named_columns_win_and_wrong_names_list_the_columns(folder: Path):
    rows = [(name, p, label, "a" if k % 3 else "b") for k, (name, label, p) in enumerate(names())]
    (folder / "t.csv").write_text(table("file,label,Second Reader,third", rows))
    index = read(folder, label_column="second reader", group_column="label")
    has_all(index)
    with pytest.raises(DataError, match=r"no column 'reader'; it has file, label, Second R"):
        read(folder / "t.csv", label_column="reader")
    with pytest.raises(DataError, match=r"two of --path-column.* name the same column"):
        read(folder / "t.csv", label_column="third", group_column="Third")


def test_tables_of_parts_are_taken_together_and_others_are_asked_for(folder: Path):
    rows = names()
    (folder / "train.csv").write_text(table("image,label,patient", rows[:12]))
    (folder / "val_labels.csv").write_text(table("image,label,patient", rows[12:16]))
    (folder / "test.csv").write_text(table("image,label,patient", rows[16:]))
    index = read(folder)
    has_all(index)
    (folder / "sample_submission.csv").write_text(
        table("image,label", [(name, "0") for name, *_ in rows])
    )
    assert read(folder).table.equals(index.table)
    folds = dict(zip(column(index, "path"), column(index, "fold"), strict=True))
    assert [folds[path] for path in (IMAGES[0], IMAGES[12], IMAGES[16])] == ["train", "val", "test"]
    (folder / "test.csv").rename(folder / "more.csv")
    with pytest.raises(DataError, match=r"more\.csv, train\.csv, val_labels\.csv.*--labels"):
        read(folder)


def test_column_of_parts_gives_the_fold(folder: Path):
    parts = ["Train"] * 12 + ["valid"] * 4 + ["test"] * 4
    rows = [(*row, part) for row, part in zip(names(), parts, strict=True)]
    (folder / "t.csv").write_text(table("image,label,patient,split", rows))
    index = read(folder)
    has_all(index)
    folds = dict(zip(column(index, "path"), column(index, "fold"), strict=True))
    assert [folds[IMAGES[k]] for k in (0, 12, 19)] == ["Train", "valid", "test"]


def test_class_folders_keep_their_layout_beside_a_table_that_does_not_label_the_images(tmp_path):
    touch(tmp_path, *(f"{name}/p{k}_{n}.png" for name in "ab" for k in range(4) for n in range(4)))
    options = {"group_pattern": r"/(p\d)_"}
    tables = {
        "no images": "patient,diagnosis\np1,a\np2,b\n",
        "no label": table("file,age", [(f"p{k}_{n}.png", "4") for k in range(4) for n in range(4)]),
        "few images": "file,label\na/p0_0.png,x\na/p0_1.png,y\n",
        "prose": "Images, labels, and more, for you\nor, not\n",
    }
    for name, content in tables.items():
        (tmp_path / "notes.txt").write_text(content)
        index = read(tmp_path, **options)
        assert index.layout == "folders"
        unused = [line for line in index.reading if "the table notes.txt was not used" in line]
        assert bool(unused) == (name in ("no label", "few images"))


def test_workbooks_and_tables_without_a_header_are_refused_with_what_to_do(folder: Path):
    for name in ("labels.xlsx", "really.csv"):
        (folder / name).write_bytes(b"PK\x03\x04rest")
        with pytest.raises(DataError, match=r"workbook, .* 'CSV UTF-8'"):
            read(folder / name)
    (folder / "really.csv").unlink()
    with pytest.raises(DataError, match=r"workbook, .* 'CSV UTF-8'"):
        read(folder, labels=str(folder / "labels.xlsx"))
    (folder / "t.csv").write_text(table("photos/a/ISIC_000.jpg,nevus,p0", names()[1:]))
    with pytest.raises(DataError, match="first row contains the image photos/a/ISIC_000"):
        read(folder / "t.csv")


def test_column_of_patients_that_is_mostly_empty_is_not_used_unless_it_is_named(folder: Path):
    rows = [(name, label, p if k < 6 else "") for k, (name, label, p) in enumerate(names())]
    (folder / "t.csv").write_text(table("image,label,patient_id", rows))
    index = read(folder)
    has_all(index, "image")
    assert "'patient_id' of" in index.notes[0]
    assert "is empty in most rows" in index.notes[0]
    index = read(folder, group_column="patient_id")
    assert (index.unit, index.table.num_rows, len(rejects(index))) == ("patient", 6, 14)


def test_numbers_whose_zeros_a_spreadsheet_has_cut_name_their_images(tmp_path: Path):
    touch(tmp_path, *(f"photos/{number:03}.png" for number in range(12)), "photos/7.png")
    rows = [f"{number},{'xy'[number % 2]}" for number in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["id,label", *rows]))
    index = read(tmp_path)
    assert rejects(index) == {"photos/007.png": "has no row in t.csv"}
    assert (index.table.num_rows, column(index, "class_name")[0]) == (12, "x")


@pytest.mark.parametrize("option", [False, True])
def test_image_lists_of_caffe_are_tables_of_labels(folder: Path, option: bool):
    place = folder / "lists" / "val.txt" if option else folder / "train.txt"
    place.parent.mkdir(exist_ok=True)
    place.write_text("".join(f"{path} {number % 3}\n" for number, path in enumerate(IMAGES)))
    index = read(folder, labels=str(place) if option else None)
    assert (index.layout, index.unit, rejects(index)) == ("csv", "image", {})
    labels = dict(zip(column(index, "path"), column(index, "class_name"), strict=True))
    assert labels == {path: str(number % 3) for number, path in enumerate(IMAGES)}


@pytest.mark.parametrize(
    ("text", "as_table"),
    [
        ("a/1.png 0\nb c/2.JPG\t12\n", "path\tlabel\na/1.png\t0\nb c/2.JPG\t12\n"),
        ("a/1.png 0\n\nb.png sick\n", None),
        ("image 0\n", None),
        ("path,label\na/1.png,0\n", None),
        ("", None),
    ],
)
def test_only_paths_with_numbers_are_image_lists(text: str, as_table: str | None):
    assert image_list_as_table(text) == as_table
