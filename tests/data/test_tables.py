"""A table is read completely or rejected in one line: no row is lost silently."""

import csv
import io
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.c_nmc_shape import people
from data.delimited import has_columns, read_rows
from data.errors import DataError
from data.splitting import SplitManifest
from tests.data.layout_reading import column, read, rejects, touch

Form = Literal["NFC", "NFD"]
HEADER = "path,label,group\n"
ROWS = "a/1.png,sick,p1\na/2.png,sick,p2\nb/3.png,well,p3\nb/4.png,well,p4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    touch(tmp_path, "a/1.png", "a/2.png", "b/3.png", "b/4.png")
    return tmp_path


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), max_size=5)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_spreadsheet_writes_is_read_again(rows, newline, encoding):
    """For cells with separators, quotation marks and several lines."""
    rows = [[*row[:3], *[""] * (3 - len(row))] for row in rows]
    text = io.StringIO(newline="")
    # Python's writer does not quote a line feed if rows end with a carriage return.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if newline == "\r" else csv.QUOTE_MINIMAL
    writer = csv.writer(text, lineterminator=newline, quoting=quoting)
    writer.writerows([["path", " Label ", "x", "group"], *rows])
    expected = [
        [c.strip() for c in (row[0], row[1], "")] for row in rows if any(map(str.strip, row))
    ]
    if any(cell.count(",") >= 3 and len(cell.splitlines()) > 1 for row in rows for cell in row):
        return  # such a cell looks like rows after an unclosed quotation mark
    found = read_rows(text.getvalue().encode(encoding), "t", ("path", "label", "group"))
    assert [[*row.cells.values()] for row in found] == expected


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffpath, label ,GROUP\n" + ROWS,
        (HEADER + ROWS).replace("\n", "\r\n"),
        (HEADER + ROWS).replace("\n", "\r"),
        "\n" + HEADER + "\n" + ROWS.replace("\n", "\n,,\n\n"),
        "group,note,label,path\n"
        + "".join(
            ",".join([g, '"5"" and\nmore"', c, p]) + "\n" for p, c, g in csv.reader(ROWS.split())
        ),
        HEADER + ROWS.replace("/", "\\").replace("1.png", "1.PNG"),
        "sep=,\r\n" + HEADER + ROWS,
        HEADER.replace("\n", ",,\n") + ROWS.replace("\n", ",,\n"),
    ],
    ids=["header", "crlf", "cr", "empty rows", "columns", "backslashes", "sep", "trailing"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_many_programs_are_read(folder: Path, content: str, encoding: str):
    (folder / "t.csv").write_bytes(content.encode(encoding))
    index = read(folder)
    assert column(index, "path") == ["a/1.png", "a/2.png", "b/3.png", "b/4.png"]
    assert column(index, "class_name") == ["sick", "sick", "well", "well"]
    assert not rejects(index)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "a/\0.png,sick,p1\n", "line 2 contains a NUL byte"),
        ((HEADER + ROWS).encode("utf-16-le"), "line 1 contains a NUL byte"),
        ((HEADER + ROWS + "ä\x81").encode("latin-1"), "line 6 is not UTF-8 text"),
        ((HEADER + ROWS + "ä\x07").encode("latin-1"), "line 6 is not UTF-8 text"),
        (HEADER + 'a/1.png,sick,"p1\n' + ROWS, "row 2: a quotation mark .* never closed"),
        (
            HEADER + ROWS + '"a/1.png,sick,p1\nb/3.png,well,p3"\n',
            "row 6: .* ends in line 7 and includes",
        ),
        (HEADER + ROWS + '"a"1.png,sick,p1\n', "row 6: a quotation mark within"),
        (HEADER + ROWS + f"{'x' * 200_000},sick,p1\n", "row 6: a cell has more than 131,072"),
        (HEADER + 'a/1.png,sick,"p1\n' + ROWS * 3000, "row 2: a cell has more"),
        (HEADER + "a/1,0.png,sick,p1\n", "row 2 has 4 cells and the header 3"),
        ("path,label,group,Label \n" + ROWS, "has 2 columns 'label'"),
        ((HEADER + 'a/1.png,sick,"p1\n' + ROWS).replace(",", ";"), "row 2: a quotation mark"),
        (HEADER + "a/1.png,sick,p1\na\\1.png,well,p1\n", r"different rows for a/1.png, 2 and 3"),
        ("", "it has no rows"),
    ],
)
def test_tables_that_cannot_be_read_whole_are_refused_in_a_line(
    folder: Path, content: str | bytes, message: str
):
    table = folder / "t.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        read(table)
    assert len(str(error.value)) < 400 + len(str(folder))
    assert "\n" not in str(error.value)


def test_broken_table_is_the_table_of_its_folder(folder: Path):
    """A broken table is not a reason to try another layout."""
    (folder / "t.csv").write_text(HEADER.replace(",", ";") + 'a/1.png;sick;"p1\n')
    with pytest.raises(DataError, match="never closed"):
        read(folder)
    assert not has_columns(b"image;class\n1;2\n", ("path", "label", "group"))


@pytest.mark.parametrize(("written", "named"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_table_names_files_in_another_form(tmp_path: Path, written: Form, named: Form):
    paths = ["ä b/é.png", "../outside/ö.png", "missing/ü.png"]
    touch(tmp_path / "set", *(unicodedata.normalize(named, path) for path in paths[:2]))
    lines = [f"{unicodedata.normalize(written, path)},a,p" for path in paths]
    (tmp_path / "set" / "t.csv").write_text(
        "\n".join(["path,label,group", *lines, f"{'x' * 300},a,p"])
    )
    index = read(tmp_path / "set")
    found = {unicodedata.normalize("NFC", path) for path in column(index, "path")}
    assert found == {"ä b/é.png", f"{tmp_path}/outside/ö.png"}
    assert all((tmp_path / "set" / path).is_file() for path in column(index, "path"))
    assert index.notes == ("Rows of t.csv whose file was not found: 2 (rows 4, 5).",)


def test_rows_that_say_too_little_are_rejects_and_no_image_stands_twice(folder: Path):
    rows = "a/1.png,sick,p1\na/1.png,sick, p1 \na/1.png\n,sick,p1\na/2.png,,p2\n"
    (folder / "t.csv").write_text(HEADER + rows)
    assert rejects(read(folder)) == {
        "t.csv, row 3": "names an image a second time",
        "t.csv, row 4": "is incomplete",
        "t.csv, row 5": "is incomplete",
        "a/2.png": "has a row in t.csv without label or group",
        "b/3.png": "has no row in t.csv",
        "b/4.png": "has no row in t.csv",
    }


def test_other_tables_are_refused_alike(tmp_path: Path):
    touch(tmp_path, "ISIC_1.jpg", "1.bmp")
    (tmp_path / "HAM10000_metadata.tab").write_text('lesion_id\timage_id\tdx\nH1\t"ISIC_1\tnv\n')
    with pytest.raises(DataError, match=r"tab, row 2: a quotation mark"):
        read(tmp_path)
    (tmp_path / "HAM10000_metadata.tab").write_text("lesion_id\timage_id\tdx\nH1\t\tnv\n")
    with pytest.raises(DataError, match=r"row 2 has no image_id"):
        read(tmp_path)
    (tmp_path / "HAM10000_metadata.tab").unlink()
    labels = tmp_path / "C-NMC_test_prelim_phase_data_labels.csv"
    labels.write_text("Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1.0\n")
    assert column(read(tmp_path), "patient_id") == ["57"]
    labels.write_text(f"{labels.read_text()}UID_58_29_1_all.bmp,1.bmp,1\n")
    with pytest.raises(DataError, match=r"two different rows for 1\.bmp, 2 and 3"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08\x00broken", "cannot be read as a list"),
        (b"x/training_data/fold_0/all/UID_1_1_1_all\0.bmp\t1\n", "NUL byte"),
        (b"x/../../fold_0/all/UID_1_1_1_all.bmp\t1\n", "outside its folder"),
        (b"x//tmp/fold_0/all/UID_1_1_1_all.bmp\t1\n", "outside its folder"),
    ],
)
def test_list_of_the_publishers_files_is_refused_when_it_is_damaged(tmp_path, content, message):
    (tmp_path / "list.tsv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        people(tmp_path / "list.tsv", 0)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{\0}", '{"seed": ' + "9" * 5000 + "}", "[]", '{"by": NaN'],
    ids=["nested", "nul", "digits", "list", "cut"],
)
def test_damaged_manifest_is_refused(tmp_path: Path, text: str):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(DataError, match=r"s\.json: the split manifest"):
        SplitManifest.load(tmp_path / "s.json")
