"""The layout of C-NMC 2019: its names, folds and preliminary test set."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from data.classes import select_classes
from data.config import SplitConfig
from data.errors import DataError
from data.layouts import Index
from data.layouts.base import IndexBuilder
from data.layouts.c_nmc import Cell, add_training, fold_of, parse_name
from data.layouts.listing import Listing
from data.schema import INDEX_SCHEMA, REJECT_SCHEMA
from data.splitting import make_split
from tests.data.layout_reading import column, read, rejects, touch


@pytest.fixture(scope="module")
def official_paths(real_data: Path) -> list[str]:
    file_list = real_data / "c-nmc-file-list.tsv.gz"
    if not file_list.is_file():
        pytest.skip(f"{file_list} is missing")
    with gzip.open(file_list, "rt") as lines:
        paths = [line.split("\t")[0] for line in lines]
    return [path for path in paths if "/training_data/" in path]


def official(paths: list[str]) -> Index:
    builder = IndexBuilder()
    add_training(builder, "", paths)
    builder.refuse_mixed_patients("")
    nothing = Listing("", fs.LocalFileSystem(), "", (), np.empty(0, np.int64))
    return builder.finish("c-nmc", nothing)


def test_c_nmc_full_list_gives_every_patient_of_the_training_set(official_paths):
    index = official(official_paths)
    assert index.rejects.num_rows == 0
    images = column(index, "class_name")
    patients = {*zip(column(index, "patient_id"), images, strict=True)}
    assert (images.count("all"), images.count("hem")) == (7272, 3389)
    assert sum(name == "all" for _, name in patients) == 47
    assert sum(name == "hem" for _, name in patients) == 26
    numbers = [patient.removeprefix("H") for patient, _ in patients]
    assert len(numbers) - len(set(numbers)) == 19
    assert {*column(index, "fold")} == {"fold_0", "fold_1", "fold_2"}


def test_c_nmc_small_h_of_the_list_is_no_patient_of_its_own(official_paths):
    small = [path for path in official_paths if "/UID_h3_" in path]
    assert len(small) == 36
    assert {*column(official(small), "patient_id")} == {"H3"}


@given(
    st.integers(1, 99),
    st.booleans(),
    st.tuples(st.integers(1, 99), st.integers(1, 99)),
    st.sampled_from(["all", "hem"]),
    st.sampled_from([".bmp", ".BMP", ".png"]),
)
def test_c_nmc_name_keeps_the_h_of_a_patient(number, healthy, place, label, suffix):
    patient = f"{'H' if healthy else ''}{number}"
    name = f"UID_{patient}_{place[0]}_{place[1]}_{label}{suffix}"
    assert parse_name(f"fold_1/{label}/{name}") == Cell(patient, label)
    assert parse_name(name.replace("H", "h")) == Cell(patient, label)


@pytest.mark.parametrize(
    "name", ["1.bmp", "UID_1_2_3.bmp", "UID_X1_2_3_all.bmp", "UID_1_2_3_all_x.bmp"]
)
def test_c_nmc_other_names_are_not_guessed(name):
    assert parse_name(name) is None


def test_c_nmc_fold_is_found_above_the_source():
    assert fold_of("/x/Fold_2/all/UID_1_1_1_all.bmp") == "fold_2"
    assert fold_of("/x/all/fold_2.bmp") == ""


PRELIMINARY = "validation_data/C-NMC_test_prelim_phase_data"


def test_c_nmc_takes_training_and_preliminary_and_counts_the_final_test(tmp_path):
    touch(
        tmp_path,
        "training_data/fold_0/all/UID_1_1_1_all.bmp",
        "training_data/fold_1/hem/UID_H1_1_1_hem.bmp",
        "training_data/fold_1/hem/UID_2_1_1_all.bmp",
        "training_data/fold_1/hem/preview.bmp",
        *(f"{PRELIMINARY}/{number}.bmp" for number in (1, 2, 3, 4)),
        *(f"testing_data/C-NMC_test_final_phase_data/{number}.bmp" for number in (1, 2)),
    )
    (tmp_path / f"{PRELIMINARY}_labels.csv").write_text(
        "Patient_ID,new_names,labels\n"
        "UID_57_29_1_all.bmp,1.bmp,1\n"
        "UID_H49_2_1_hem.bmp,2.bmp,0\n"
        "UID_58_2_1_all.bmp,3.bmp,0\n"
        "UID_58_2_2_all.bmp,9.bmp,1\n"
    )
    index = read(tmp_path)
    assert index.layout == "c-nmc"
    assert index.table.schema == INDEX_SCHEMA
    assert index.rejects.schema == REJECT_SCHEMA
    assert list(
        zip(
            column(index, "patient_id"),
            column(index, "class_name"),
            column(index, "fold"),
            strict=True,
        )
    ) == [
        ("1", "all", "fold_0"),
        ("57", "all", "preliminary"),
        ("H1", "hem", "fold_1"),
        ("H49", "hem", "preliminary"),
    ]
    assert f"{PRELIMINARY}/1.bmp" in column(index, "path")
    assert set(rejects(index)) == {
        "training_data/fold_1/hem/UID_2_1_1_all.bmp",
        "training_data/fold_1/hem/preview.bmp",
        f"{PRELIMINARY}/3.bmp",
        f"{PRELIMINARY}/4.bmp",
        "validation_data/9.bmp",
    }
    assert len(index.notes) == 1
    assert index.notes[0].startswith("2 numbered images")


def test_c_nmc_label_that_disagrees_between_folder_and_name_is_a_reject(tmp_path):
    touch(tmp_path, "all/UID_1_1_1_all.bmp", "hem/UID_1_1_2_all.bmp", "hem/UID_H2_1_1_hem.bmp")
    index = read(tmp_path)
    assert column(index, "image_id") == ["UID_1_1_1_all", "UID_H2_1_1_hem"]
    assert rejects(index) == {
        "hem/UID_1_1_2_all.bmp": "stands in the folder 'hem' against its own name"
    }


def test_c_nmc_preliminary_rows_and_images_without_each_other_are_rejects(tmp_path):
    labels = f"{PRELIMINARY}_labels.csv"
    touch(tmp_path, f"{PRELIMINARY}/1.bmp", f"{PRELIMINARY}/2.bmp", f"{PRELIMINARY}/copy/1.bmp")
    (tmp_path / labels).write_text(
        "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\nUID_58_2_2_all.bmp,9.bmp,1\n"
    )
    assert rejects(read(tmp_path)) == {
        f"{PRELIMINARY}/2.bmp": f"has no row in {labels}",
        f"{PRELIMINARY}/copy/1.bmp": f"has the same image name as {PRELIMINARY}/1.bmp",
        "validation_data/9.bmp": f"is listed in {labels} and missing",
    }


def test_c_nmc_patient_of_training_and_preliminary_test_is_refused(tmp_path):
    touch(
        tmp_path,
        "training_data/fold_0/all/UID_1_1_1_all.bmp",
        "training_data/fold_0/hem/UID_H1_1_1_hem.bmp",
        f"{PRELIMINARY}/1.bmp",
        f"{PRELIMINARY}/2.bmp",
    )
    (tmp_path / f"{PRELIMINARY}_labels.csv").write_text(
        "Patient_ID,new_names,labels\nUID_1_9_9_all.bmp,1.bmp,1\nUID_H2_1_1_hem.bmp,2.bmp,0\n"
    )
    split = SplitConfig(method="folds", test_folds=("preliminary",))
    table = select_classes(read(tmp_path), None)[0]
    with pytest.raises(DataError, match="patient 1 is in the folds 'fold_0' and 'preliminary'"):
        make_split(table, split)


def test_c_nmc_patient_in_both_classes_is_refused(tmp_path):
    touch(tmp_path, "all/UID_7_1_1_all.bmp", "hem/UID_7_1_2_hem.bmp")
    with pytest.raises(DataError, match=r"patient 7 .*'all' and 'hem'.*the H of healthy"):
        read(tmp_path)


def test_c_nmc_real_images_are_recognised(unzipped):
    index = read(unzipped("c-nmc-7"))
    assert (index.layout, index.table.num_rows) == ("c-nmc", 7)
    assert column(index, "patient_id").count("H3") == 2
