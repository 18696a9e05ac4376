"""Files, folders, patterns and tables lead to each image once, with what is known of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import DataError
from serving.predict.finding import find_images
from serving.predict.images import Images

MakeImage = Callable[..., Path]
CLASSES = ("all", "hem")


def found(*paths: str, scores: bool = True, **options: str) -> Images:
    given = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    return find_images(paths, given, CLASSES, scores=scores)


def test_files_keep_the_order_in_which_they_were_typed(make_image: MakeImage) -> None:
    for name in ("b.png", "a.jpg", "scan"):
        make_image(name)
    images = found("b.png", "./scan", "a.jpg", "b.png", str(Path("b.png").absolute()))
    assert images.paths == ["b.png", "./scan", "a.jpg"]
    assert (images.unit, images.is_labeled, images.rejects) == ("image", False, ())


def test_folder_is_searched_below(make_image: MakeImage) -> None:
    for name in ("in/b.png", "in/deep/er/a.jpg", "in/.hidden/c.png", "in/__MACOSX/d.png"):
        make_image(name)
    Path("in/notes.txt").write_text("notes")
    Path("in/photo.heic").write_text("x")
    images = found("in")
    assert images.paths == ["in/b.png", "in/deep/er/a.jpg"]
    assert [(one.path, one.reason) for one in images.rejects] == [
        ("in/photo.heic", "HEIF is not read: save it as PNG or TIFF")
    ]
    assert images.left_out == "left out: 1 file that is not an image, 2 hidden files or folders"
    os.chdir("in")
    assert found(".").paths == ["b.png", "deep/er/a.jpg"]


def test_patterns_that_no_shell_has_expanded(make_image: MakeImage) -> None:
    for name in ("in/a.png", "in/b.jpg", "in/c/d.png"):
        make_image(name)
    Path("in/readme.txt").write_text("text")
    assert found("in/*.png").paths == ["in/a.png"]
    assert found("in/*").paths == ["in/a.png", "in/b.jpg", "in/c/d.png"]
    assert sorted(found("in/**/*.png").paths) == ["in/a.png", "in/c/d.png"]
    make_image("in/e[1].png")
    assert found("in/e[1].png").paths == ["in/e[1].png"]
    with pytest.raises(DataError, match=r"in/\*\.tif: no file matches the pattern"):
        found("in/*.tif")


def test_missing_files_are_rejects_unless_nothing_is_found(make_image: MakeImage) -> None:
    make_image("a.png")
    images = found("a.png", "b.png")
    assert [(one.path, one.reason) for one in images.rejects] == [
        ("b.png", "there is no such file or folder")
    ]
    with pytest.raises(DataError, match=r"^b\.png: there is no such file or folder$"):
        found("b.png")


def test_empty_folders_are_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(DataError, match=r"^empty: no image files were found$"):
        found("empty")
    Path("empty/a.txt").write_text("text")
    with pytest.raises(DataError, match=r"no image files were found; a\.txt: its ending \.txt"):
        found("empty")


def test_pipes_and_devices_are_not_opened(make_image: MakeImage) -> None:
    make_image("a.png")
    os.mkfifo("pipe.png")
    images = found("a.png", "pipe.png", "/dev/zero")
    assert images.paths == ["a.png"]
    assert {one.reason for one in images.rejects} == {"is no regular file"}


def test_names_that_are_no_text_are_rejects(make_image: MakeImage) -> None:
    make_image(b"in/\xff\xfe.png")
    make_image("in/Zellen Größe.png")
    assert found("in").paths == ["in/Zellen Größe.png"]
    for images in (found("in"), found(os.fsdecode(b"in/\xff\xfe.png"), "in/Zellen Größe.png")):
        assert images.paths == ["in/Zellen Größe.png"]
        assert [(one.path, one.reason) for one in images.rejects] == [
            (r"in/\udcff\udcfe.png", "its name is no UTF-8 text: rename it")
        ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_table_names_images_and_patients(
    make_image: MakeImage, encoding: str, separator: str
) -> None:
    for name in ("t/a/1.png", "t/a/2.png", "t/Größe.png"):
        make_image(name)
    rows = [["Datei", "patient"], ["a/1.png", "P1"], ["a\\2.png", "P1"], ["Größe.png", "P2"]]
    text = "\n".join(separator.join(row) for row in [*rows, ["none.png", "P3"]])
    Path("t/list.csv").write_bytes(text.encode(encoding))
    images = found("t/list.csv")
    assert images.paths == ["t/a/1.png", "t/a/2.png", "t/Größe.png"]
    assert images.table.column("patient_id").to_pylist() == ["P1", "P1", "P2"]
    assert images.unit == "patient"
    assert [(one.path, one.reason) for one in images.rejects] == [
        ("t/none.png", "is listed in list.csv, row 5 and was not found")
    ]


def test_table_with_paths_alone(make_image: MakeImage) -> None:
    make_image("elsewhere/1.png")
    Path("list.csv").write_text(f"path\n{Path('elsewhere/1.png').absolute()}\n")
    images = found("list.csv")
    assert len(images.paths) == 1
    assert images.unit == "image"


def test_list_without_a_header_is_explained(make_image: MakeImage) -> None:
    make_image("1.png")
    Path("list.txt").write_text("1.png\n")
    with pytest.raises(DataError, match=r"first row contains the image 1\.png instead of column"):
        found("list.txt")


def test_table_with_labels_of_the_model_is_labeled(make_image: MakeImage) -> None:
    for number in range(4):
        make_image(f"{number}.png", number)
    rows = "".join(f"{n}.png,{CLASSES[n % 2]},P{n}\n" for n in range(4))
    Path("list.csv").write_text(f"path,label,patient\n{rows}")
    images = found("list.csv")
    assert images.is_labeled
    assert images.table.column("class_name").to_pylist() == ["all", "hem", "all", "hem"]
    assert not found("list.csv", scores=False).is_labeled


def test_class_folders_are_labels_if_the_model_knows_them(make_image: MakeImage) -> None:
    for name in ("x/all/P1/1.png", "x/all/P2/2.png", "x/hem/P3/3.png", "x/hem/P4/4.png"):
        make_image(name)
    images = found("x")
    assert images.is_labeled
    assert images.paths == ["x/all/P1/1.png", "x/all/P2/2.png", "x/hem/P3/3.png", "x/hem/P4/4.png"]
    assert images.table.column("class_name").to_pylist() == ["all", "all", "hem", "hem"]
    assert images.table.column("patient_id").to_pylist() == ["P1", "P2", "P3", "P4"]


def test_other_folders_are_no_labels(make_image: MakeImage) -> None:
    for name in ("x/monday/1.png", "x/tuesday/2.png"):
        make_image(name)
    images = found("x")
    assert not images.is_labeled
    assert len(images.paths) == 2
    assert "(monday, tuesday) are not those of the model (all, hem)" in images.reading[0]


def test_folders_of_patients_are_patients(make_image: MakeImage) -> None:
    for patient in range(8):
        for number in range(3):
            make_image(f"x/P{patient:03}/{number}.png")
    images = found("x")
    assert not images.is_labeled
    assert images.unit == "patient"
    assert len({*images.table.column("patient_id").to_pylist()}) == 8


def test_patients_are_read_as_for_training_if_scores_are_declined(make_image: MakeImage) -> None:
    for fold in range(3):
        for name in CLASSES:
            own = "" if name == "all" else "H"  # healthy patients have another number
            make_image(f"x/fold_{fold}/{name}/UID_{own}{fold}_1_1_{name}.bmp")
    assert found("x").is_labeled
    images = found("x", scores=False)
    assert not images.is_labeled
    assert images.unit == "patient"
    patients = {*images.table.column("patient_id").to_pylist()}
    assert patients == {"0", "1", "2", "H0", "H1", "H2"}


def test_unknown_classes_among_known_ones_are_refused(make_image: MakeImage) -> None:
    for name in ("x/all/1.png", "x/HEM/2.png", "x/other/3.png"):
        make_image(name)
    with pytest.raises(DataError) as error:
        found("x")
    assert str(error.value) == (
        "x: HEM, other are no classes of the model, which knows all, hem: map names with --class "
        "'hem=HEM', select some with --class, or give --no-scores"
    )
    images = find_images(["x"], {"--class": ["all", "hem=HEM"]}, CLASSES)
    assert images.table.column("class_name").to_pylist() == ["hem", "all"]
    assert images.notes[-1] == "1 images of other classes were left out: other 1."
    assert len(found("x", scores=False).paths) == 3


def test_stated_labels_must_be_readable(make_image: MakeImage) -> None:
    make_image("x/1.png")
    Path("labels.csv").write_text("path,label\n1.png,monday\n")
    with pytest.raises(DataError, match="monday is no class of the model"):
        found("x", labels="labels.csv")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        found("x", labels="none.csv")
    with pytest.raises(DataError, match="--labels and --no-scores: give one of them"):
        found("x", labels="labels.csv", scores=False)
    with pytest.raises(DataError, match="--labels describes one folder or table"):
        found("x/1.png", labels="labels.csv")


def test_pattern_finds_patients_everywhere(make_image: MakeImage) -> None:
    for name in ("x/P1_a.png", "x/P1_b.png", "x/P2_a.png"):
        make_image(name)
    pattern = r"(P\d+)_"
    for paths in (["x"], ["x/P1_a.png", "x/P1_b.png", "x/P2_a.png"], ["x/*.png"]):
        images = find_images(paths, {"--group-pattern": pattern}, CLASSES)
        assert images.table.column("patient_id").to_pylist() == ["P1", "P1", "P2"]
        assert images.unit == "patient"
    with pytest.raises(DataError, match="--group-pattern"):
        find_images(["x"], {"--group-pattern": "("}, CLASSES)


def test_damaged_table_does_not_stop_other_paths(make_image: MakeImage) -> None:
    make_image("a.png")
    Path("t.csv").write_bytes(b"PK\x03\x04")
    images = found("a.png", "t.csv")
    assert images.paths == ["a.png"]
    assert "is a workbook" in images.rejects[0].reason


def test_prepared_data_sets_are_refused() -> None:
    Path("prepared").mkdir()
    Path("prepared/dataset.json").write_text("{}")
    with pytest.raises(DataError, match="is a prepared data set: give the folder of the images"):
        found("prepared")
