import re
from pathlib import PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data.errors import DataError
from data.layouts.folders import locate_classes
from data.layouts.malaria import parse_patient
from data.layouts.paths import stem, without_suffix
from tests.data.layout_reading import column, read, rejects, touch

# NIH malaria


@pytest.mark.slow
def test_malaria_real_names_give_130_patients(unzipped):
    index = read(unzipped("malaria-cells"))
    assert (index.layout, index.table.num_rows, rejects(index)) == ("malaria", 18960, {})
    assert len(set(column(index, "patient_id"))) == 130
    # The name of a cell contains the time of its photograph, which belongs to one patient.
    patients_of: dict[str, set[str]] = {}
    columns = (column(index, name) for name in ("image_id", "patient_id"))
    for image, patient in zip(*columns, strict=True):
        taken = re.search(r"IMG_(\d+_\d+a?)_cell", image)
        assert taken is not None
        patients_of.setdefault(taken[1], set()).add(patient)
    assert all(len(patients) == 1 for patients in patients_of.values())


SPELLINGS = [
    "P{p}thinF_IMG", "P{p}ThinF_IMG", "P{p}_ThinF_IMG", "P{p}NThinF_IMG", "P{p}N_ThinF_IMG",
    "P{p}ReThinF_IMG", "BP{p}_thinF_IMG", "NThinF_IMG", "ThinF_IMG", "thin_original_IMG",
    "P{p}thinF_original_IMG", "P{p}thinOriginalOlympusCX21_IMG", "P{p}thin_Original_Motic_IMG",
    "AP{p}thinF_IMG",
]  # fmt: skip


@given(
    st.sampled_from(["", "Parasitized"]),
    st.integers(1, 999),
    st.sampled_from(SPELLINGS),
    st.integers(1, 999),
    st.sampled_from(["", "a"]),
)
def test_malaria_patient_is_the_number_after_the_first_c(prefix, patient, spelling, other, letter):
    name = f"{prefix}C{patient}{spelling.format(p=other)}_20150619_115740{letter}_cell_39.png"
    assert parse_patient(name) == f"C{patient}"


@pytest.mark.parametrize("name", ["cell_3.png", "C33.png", "XC33P1thinF_IMG_1_cell_1.png"])
def test_malaria_other_names_are_not_guessed(name):
    assert parse_patient(name) is None


def test_malaria_label_that_disagrees_between_folder_and_name_is_a_reject(tmp_path):
    name = "ParasitizedC33P1thinF_IMG_1_cell_1.png"
    touch(tmp_path, f"Parasitized/{name}", f"Uninfected/{name.replace('C33', 'C34')}")
    index = read(tmp_path)
    assert column(index, "patient_id") == ["C33"]
    assert [*rejects(index).values()] == ["stands in the folder 'Uninfected' against its own name"]


# HAM10000


def test_ham10000_keeps_lesions_together_and_says_so(tmp_path):
    touch(
        tmp_path,
        "HAM10000_images_part_1/ISIC_0000001.jpg",
        "HAM10000_images_part_2/ISIC_0000002.jpg",
        "HAM10000_images_part_2/ISIC_0000009.jpg",
        "masks/ISIC_0000001_segmentation.png",
    )
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,age\n"
        "HAM_1,ISIC_0000001,nv,80\nHAM_1,ISIC_0000002,nv,80\nHAM_2,ISIC_0000003,mel,80\n"
    )
    index = read(tmp_path)
    assert index.layout == "ham10000"
    assert column(index, "image_id") == ["ISIC_0000001", "ISIC_0000002"]
    assert column(index, "group") == column(index, "patient_id") == ["HAM_1", "HAM_1"]
    assert set(rejects(index)) == {"HAM10000_images_part_2/ISIC_0000009.jpg", "ISIC_0000003"}
    assert "no patient ids" in index.notes[0]


def test_ham10000_rows_without_images_stand_in_one_order(tmp_path):
    touch(tmp_path, "images/ISIC_1.jpg")
    names = [f"ISIC_{number}" for number in range(1, 30)]
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx\n" + "".join(f"H,{name},nv\n" for name in names)
    )
    assert [*rejects(read(tmp_path))] == sorted(names[1:])


def test_ham10000_real_images_are_recognised(unzipped):
    index = read(unzipped("ham10000"))
    assert (index.layout, index.table.num_rows, rejects(index)) == ("ham10000", 5051, {})


# Class folders


def test_folders_take_the_group_from_the_pattern(tmp_path):
    touch(tmp_path, "mel/p1_a.jpg", "mel/p1_b.JPG", "nv/deep/p2_a.png", "nv/odd.png", "top_p3.png")
    touch(tmp_path, "mel/.hidden_p4.jpg", "__MACOSX/mel/p5_a.jpg", "mel/Thumbs.db", "notes.txt")
    index = read(tmp_path, group_pattern=r"(?P<patient>p\d+)_")
    assert column(index, "image_id") == ["mel/p1_a", "mel/p1_b", "nv/deep/p2_a"]
    assert column(index, "class_name") == ["mel", "mel", "nv"]
    assert column(index, "patient_id") == ["p1", "p1", "p2"]
    assert set(rejects(index)) == {"nv/odd.png", "top_p3.png"}


def test_folders_without_patients_are_read_by_image_and_say_what_is_lost(tmp_path):
    touch(tmp_path, "mel/1.jpg", "nv/2.jpg", "nv/3.jpg", "stray.jpg")
    index = read(tmp_path)
    assert (index.layout, index.unit) == ("folders", "image")
    assert column(index, "class_name") == ["mel", "nv", "nv"]
    assert column(index, "patient_id") == column(index, "group") == column(index, "image_id")
    assert rejects(index) == {"stray.jpg": "does not stand in a class folder with a name"}
    first, second = index.reading
    assert first == "read as class/image: 2 classes (mel, nv), 3 images"
    assert second.startswith("no patients are known: each image is its own group")
    assert all(option in second for option in ("--group-pattern", "--labels"))


def test_folders_of_patients_are_found_and_counted(tmp_path):
    for patient in range(6):
        for visit in ("visit1", "visit2"):
            touch(tmp_path, f"p{patient}/{visit}/{('mel', 'nv')[patient % 2]}/1.jpg")
    touch(tmp_path, "p0/visit1/x.jpg")
    index = read(tmp_path)
    assert index.unit == "patient"
    assert {*column(index, "patient_id")} == {f"p{number}" for number in range(6)}
    assert index.reading[0] == (
        "read as patient/visit/class/image: 2 classes (mel, nv), 6 patients, 12 images"
    )
    assert "--class-pattern, --group-pattern" in index.reading[1]
    assert len(index.reading) == 2
    assert rejects(index) == {"p0/visit1/x.jpg": "does not stand in a class folder with a name"}


def test_folders_of_a_publisher_are_parts_and_no_classes(tmp_path):
    for part in ("Test", "train", "val"):
        touch(tmp_path, *(f"{part}/{name}/{part}1.jpg" for name in ("mel", "nv")))
    index = read(tmp_path)
    assert column(index, "fold") == ["Test", "Test", "train", "train", "val", "val"]
    assert {*column(index, "class_name")} == {"mel", "nv"}
    assert index.reading[1] == (
        "the ready-made folders train, val, Test are pooled and divided again; "
        "--split as-is uses them as they are"
    )


def test_folders_of_patients_alone_are_refused_with_what_to_give(tmp_path):
    touch(tmp_path, *(f"P{number:03d}/{image}_mel.jpg" for number in range(9) for image in (1, 2)))
    message = (
        r"no folder names a class: each of the 9 folders.*'P000'.*--labels table\.csv"
        r".*--class-pattern"
    )
    with pytest.raises(DataError, match=message):
        read(tmp_path)
    touch(tmp_path, "P000/3_nv.jpg", "P000/odd.jpg")
    index = read(tmp_path, class_pattern="_(mel|nv)")
    assert (index.unit, {*column(index, "class_name")}) == ("patient", {"mel", "nv"})
    assert len({*column(index, "patient_id")}) == 9
    assert rejects(index) == {"P000/odd.jpg": "does not match the class pattern _(mel|nv)"}
    assert "class by pattern" in index.reading[0]


def test_patterns_of_class_and_patient_go_together(tmp_path):
    touch(tmp_path, "x/mel_p1_1.jpg", "x/nv_p1_2.jpg", "y/nv_p2_1.jpg")
    options = {"class_pattern": r"/(?P<class>\w+?)_", "group_pattern": r"_(p\d)_"}
    index = read(tmp_path, **options)
    assert column(index, "class_name") == ["mel", "nv", "nv"]
    assert column(index, "patient_id") == ["p1", "p1", "p2"]
    assert index.unit == "patient"


def test_file_names_that_carry_a_patient_are_proposed_and_not_used(tmp_path):
    touch(
        tmp_path,
        *(f"{name}/P{n:02d}_{i}.png" for name in ("a", "b") for n in range(9) for i in (1, 2)),
    )
    index = read(tmp_path)
    assert index.unit == "image"
    assert index.reading[-1] == (
        r"file names seem to contain a patient: --group-pattern '(P\d+)[^/]*$' would give "
        "9 patients with 4.0 images each "
        "(P00_1.png -> P00, P01_1.png -> P01, P02_1.png -> P02)"
    )
    named = read(tmp_path, group_pattern=r"(P\d+)[^/]*$")
    assert (named.unit, len({*column(named, "patient_id")})) == ("patient", 9)


@pytest.mark.parametrize(("pattern", "message"), [("(", "cannot be read"), ("p1", "parentheses")])
@pytest.mark.parametrize("option", ["group_pattern", "class_pattern"])
def test_folders_unusable_pattern_is_named(tmp_path, option, pattern, message):
    touch(tmp_path, "mel/p1.jpg")
    with pytest.raises(DataError, match=f"--{option.replace('_', '-')} '.*{message}"):
        read(tmp_path, layout="folders", **{option: pattern})


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/1.png", "b/2.png"], [("a", ""), ("b", "")]),
        (["top/a/p1/1.png", "top/b/p2/2.png"], [("a", ""), ("b", "")]),
        (["train/a/1.png", "Test/b/2.png"], [("a", "train"), ("b", "Test")]),
        (["train/a/1.png", "other/b/2.png"], [("train", ""), ("other", "")]),
        (["a/1.png", "a/2.png"], [("a", ""), ("a", "")]),
        (["1.png", "b/2.png"], [("", ""), ("b", "")]),
        ([], []),
    ],
)
def test_folders_class_is_the_first_folder_that_differs(paths, expected):
    assert locate_classes(paths) == expected


# CSV


def test_csv_paths_start_at_its_folder_or_at_the_root(tmp_path):
    touch(tmp_path, "set/one/1.png", "set/2.png", "elsewhere/3.png")
    table = tmp_path / "set" / "images.csv"
    table.write_text(
        "path,label,group\n"
        f"one/1.png,a,p1\n{tmp_path}/set/2.png,b,p2\n{tmp_path}/elsewhere/3.png,a,p3\n"
        "gone.png,a,p4\n./one/1.png,a,p1\n2.png,,p2\n"
    )
    for source in (table, table.parent):
        index = read(source)
        assert index.layout == "csv"
        assert index.root == str(table.parent)
        assert sorted(column(index, "path")) == sorted(
            ["one/1.png", "2.png", f"{tmp_path}/elsewhere/3.png"]
        )
        assert rejects(index) == {
            "gone.png": "is listed in images.csv and was not found",
            "images.csv, row 6": "names an image a second time",
            "images.csv, row 7": "is incomplete",
        }
        assert index.notes == ("Rows of images.csv whose file was not found: 1 (row 5).",)


def test_csv_images_without_a_row_are_rejects(tmp_path):
    touch(tmp_path, "1.png", "deep/2.png", "notes.txt")
    (tmp_path / "images.csv").write_text("path,label,group\n1.png,a,p1\n")
    assert rejects(read(tmp_path)) == {"deep/2.png": "has no row in images.csv"}


@pytest.mark.parametrize("second", ["1.png,b,p1", "./1.png,a,p2"])
def test_csv_rows_that_contradict_each_other_are_refused(tmp_path, second):
    touch(tmp_path, "1.png")
    (tmp_path / "images.csv").write_text(f"path,label,group\n1.png,a,p1\n{second}\n")
    with pytest.raises(DataError, match=r"two different rows for 1\.png.*keep the right one"):
        read(tmp_path)


def test_csv_whose_columns_cannot_be_told_says_which_there_are(tmp_path):
    touch(tmp_path, "1.png")
    table = tmp_path / "images.csv"
    table.write_text("file,age,site\n1.png,40,back\n")
    with pytest.raises(DataError, match=r"--label-column\. The columns are file, age, site;"):
        read(table)


@given(st.lists(st.text(st.sampled_from("ab. "), min_size=1, max_size=6), min_size=1, max_size=3))
def test_names_without_suffix_are_those_of_python(parts):
    assume(not {".", ".."} & {*parts})
    path = PurePosixPath(*parts)
    assert stem(str(path)) == path.stem
    assert without_suffix(str(path)) == str(path.with_suffix(""))


# Choosing


def test_unknown_folders_list_what_each_layout_expects(tmp_path):
    touch(tmp_path, "1.png")
    with pytest.raises(DataError, match=r"(?s)c-nmc:.*ham10000:.*malaria:.*csv:.*folders:"):
        read(tmp_path)


@pytest.mark.parametrize("layout", ["c-nmc", "ham10000", "malaria", "csv"])
def test_named_layout_that_does_not_fit_is_refused(tmp_path, layout):
    touch(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(DataError, match=f"does not look like the layout '{layout}'"):
        read(tmp_path, layout=layout)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read(tmp_path / "missing")
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match="no image files"):
        read(tmp_path)
    with pytest.raises(DataError, match="contains no table"):
        read(tmp_path / "notes.txt")


def test_second_image_of_a_name_is_rejected_and_names_the_first(tmp_path):
    name = "C33P1thinF_IMG_1_cell_1.png"
    touch(tmp_path, f"Parasitized/{name}", f"copy/Parasitized/{name}", "Uninfected/x.png")
    found = rejects(read(tmp_path))
    assert found[f"copy/Parasitized/{name}"] == f"has the same image name as Parasitized/{name}"


def test_rows_depend_on_the_folder_alone(tmp_path):
    for folder in ("x", "y/z"):
        touch(tmp_path / folder, "b/p1.png", "a/p2.png", "a/p1.png")
    first, second = (read(tmp_path / name, group_pattern="(p.)") for name in ("x", "y/z"))
    assert first.table.equals(second.table)
