"""Each patient and each class has one name, however programs have encoded it."""

import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import SplitConfig
from data.errors import DataError
from data.names import likeness, one_spelling, plain_characters
from data.spellings import notes_on_spelling
from data.splitting import SplitManifest, make_split
from tests.data.layout_reading import column, read, rejects, touch

NAMES = st.text("abÄé̈ụ̀がﾊ血1٣²ﬁ-_. ", min_size=1, max_size=8)
SPACES = " \u00a0\u2007\u202f\u3000\t"
WITHOUT_INK = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e"


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a name, and the same name as another program may write it."""
    name = draw(NAMES.filter(str.strip))
    form = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), name)
    characters = [draw(st.sampled_from(_same(character))) for character in form]
    for place in draw(st.lists(st.integers(0, len(characters)), max_size=3)):
        characters.insert(place, draw(st.sampled_from(WITHOUT_INK)))
    around = draw(st.text(SPACES, max_size=2)), draw(st.text(SPACES, max_size=2))
    return name, "".join(characters).join(around)


def _same(character: str) -> list[str]:
    if character == " ":
        return [*SPACES, "  "]
    return [character, _wide(character), "\u2011" if character == "-" else character]


def _wide(text: str) -> str:
    """Return the letters, digits and marks of ``text`` in full width."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@pytest.mark.slow
@settings(max_examples=300)
@given(spellings())
def test_every_spelling_of_a_name_is_one_name(pair):
    name, other = pair
    assert one_spelling(other) == one_spelling(name)
    assert one_spelling(one_spelling(name)) == one_spelling(name)
    assert plain_characters(plain_characters(other)) == plain_characters(other)
    assert likeness(other) == likeness(name)


@pytest.mark.parametrize("pair", ["1 001", "p1 P1", "m2 m²", "C3 H3", "a-b a_b", "1 \u0661"])
def test_names_that_may_be_two_people_stay_two(pair):
    first, second = pair.split()
    assert one_spelling(first) != one_spelling(second)


def is_no_hidden_folder(pair: tuple[str, str]) -> bool:
    return not one_spelling(pair[0]).startswith(".")


@settings(max_examples=20, deadline=None)
@given(spellings().filter(is_no_hidden_folder))
def test_spellings_of_a_patient_are_never_on_two_sides(tmp_path_factory, pair):
    """In folders, and in a table whose file names use another Unicode form."""
    root = tmp_path_factory.mktemp("names")
    lines = ["path,label,group"]
    for number, name in enumerate((*pair, unicodedata.normalize("NFD", pair[0]))):
        path = f"{'ab'[number % 2]}/{name}/{number}.png"
        touch(root / "set", path)
        lines.append(f'"{unicodedata.normalize("NFC", path)}",{path[0]},"{name}"')
    assert set(column(read(root / "set", group_pattern="/(.*)/"), "patient_id")) == {
        one_spelling(pair[0])
    }
    (root / "set" / "t.csv").write_text("\n".join(lines))
    index = read(root / "set")
    assert set(column(index, "patient_id")) == {one_spelling(pair[0])}
    assert not rejects(index)


def test_pattern_and_paths_may_be_written_in_different_forms(tmp_path: Path):
    touch(tmp_path, f"a/pa\u0308t{_wide('12(x)')}.png", "b/p\u00e4t12(x).png", "b/q(x).png")
    index = read(tmp_path, group_pattern=f"(p\u00e4t[0-9]+){_wide('(x)')}")
    assert column(index, "patient_id") == ["p\u00e4t12", "p\u00e4t12"]
    assert "no patient in their path: 1 (for example 'b/q(x).png')" in " ".join(index.notes)


def test_folder_and_table_without_a_visible_name_are_rejects(tmp_path: Path):
    touch(tmp_path, "a/p1/1.png", "b/\u200b/2.png", "\u00a0/p3/3.png")
    reasons = rejects(read(tmp_path, group_pattern="/(.*)/"))
    assert set(reasons) == {"b/\u200b/2.png", "\u00a0/p3/3.png"}
    (tmp_path / "t.csv").write_text("path,label,group\na/p1/1.png,a,p1\nb/\u200b/2.png,\u2060,p2\n")
    assert rejects(read(tmp_path))["b/\u200b/2.png"] == "has no name for its class"


def test_names_that_publishers_gave_are_recognised_in_every_form(tmp_path: Path):
    touch(
        tmp_path, f"c/{_wide('all')}/UID_{_wide('1')}_1_1_all.bmp", "c/all/UID_1_1_2_all\u200b.bmp"
    )
    touch(tmp_path, f"c/{_wide('hem')}/UID_2_1_1_all.bmp")
    touch(tmp_path, f"m/Parasitized\u00a0/C{_wide('3')}3P1thinF_IMG_1_cell_1.png")
    touch(tmp_path, "h/ISIC_1\u200b.jpg")
    (tmp_path / "h/HAM10000_metadata.csv").write_text(
        f"lesion_id,image_id,dx\n{_wide('H1')},ISIC_1,nv\n"
    )
    assert column(read(tmp_path / "c"), "patient_id") == ["1", "1"]
    assert column(read(tmp_path / "m"), "patient_id") == ["C33"]
    assert column(read(tmp_path / "h"), "patient_id") == ["H1"]


def test_spellings_of_numbers_and_capitals_get_one_note_each():
    rows = [(f"{n}", ("sick", "Sick", "well")[n % 3]) for n in range(12)]
    rows += [(f"00{n}", "well") for n in range(12)]
    rows += [("1.0", "well"), ("q7", "sick"), ("Q7", "sick"), ("q8", "sick")]
    columns = zip(("patient_id", "class_name"), zip(*rows, strict=True), strict=True)
    patients, classes = notes_on_spelling(pa.table(dict(columns)))
    assert patients.startswith("27 patients have names that differ only in case")
    assert "'0' and '000'; '001', '1' and '1.0'; " in patients
    assert "and 10 more such sets" in patients
    assert classes.startswith("2 classes")
    assert "'Sick' and 'sick'" in classes
    rounded = pa.table({"patient_id": ["1.23E+11", "1.24E+11", "1e5"], "class_name": ["a"] * 3})
    assert notes_on_spelling(rounded)[0].startswith("2 patients have numbers as names that")


def test_manifest_of_other_spellings_is_used_and_a_contradiction_is_refused(tmp_path: Path):
    groups = [f"\u00e4{n}" for n in range(6)]
    table = pa.table(
        {
            "group": groups * 2,
            "label": [0] * 6 + [1] * 6,
            "class_name": ["a"] * 6 + ["b"] * 6,
        }
    )
    sides = make_split(table, SplitConfig()).assignments
    other = {unicodedata.normalize("NFD", group): side for group, side in sides.items()}
    SplitManifest("patient", 0, other).save(tmp_path / "s.json")
    given_split = SplitConfig(manifest=str(tmp_path / "s.json"))
    assert make_split(table, given_split).assignments == sides
    moved = {groups[0]: "train" if sides[groups[0]] != "train" else "test"}
    SplitManifest("patient", 0, other | moved).save(tmp_path / "s.json")
    with pytest.raises(DataError, match="encoded in two ways, to two sides"):
        make_split(table, given_split)
