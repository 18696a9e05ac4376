"""Forms with files, and decisions, in a function of Lambda that imports only boto3."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from deploy.aws.lambda_.function.forms import read_form
from deploy.aws.lambda_.function.predictions import decide
from deploy.aws.lambda_.function.problem import ProblemError
from models.decision import decide as decide_many

FIELDS = ["images", "file"]


class TestForms:
    @given(
        st.lists(
            st.tuples(
                st.text(
                    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='"\\')
                ),
                st.binary() | st.text("\r\n-x ").map(str.encode),
            ),
            max_size=4,
        )
    )
    def test_files_are_read_byte_for_byte(self, files: list[tuple[str, bytes]]) -> None:
        body, kind = encode_multipart_formdata([("images", file) for file in files])
        assert read_form(kind, body, FIELDS, 64) == files

    @given(st.binary())
    def test_other_bytes_are_refused(self, body: bytes) -> None:
        with pytest.raises(ProblemError):
            read_form("multipart/form-data; boundary=x", b"--x\r\n" + body, FIELDS, 64)

    def test_a_form_without_parts_has_no_files(self) -> None:
        assert read_form("multipart/form-data; boundary=x", b"--x--\r\n", FIELDS, 64) == []

    def test_a_truncated_form_is_refused(self) -> None:
        body, kind = encode_multipart_formdata([("images", ("a.png", b"pixels"))])
        for length in range(len(body) - 4):
            with pytest.raises(ProblemError):
                read_form(kind, body[:length], FIELDS, 64)

    def test_other_fields_are_ignored(self) -> None:
        body, kind = encode_multipart_formdata({"note": "text", "file": ("a.png", b"pixels")})
        assert read_form(kind, body, FIELDS, 64) == [("a.png", b"pixels")]


@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=4),
    st.floats(0, 1),
    st.integers(0, 3),
    st.booleans(),
)
def test_decisions_are_those_of_the_service(
    row: list[float], threshold: float, positive: int, at_threshold: bool
) -> None:
    positive %= len(row)
    if at_threshold:
        row[positive] = float(np.float32(threshold))
    expected = decide_many(np.array([row], np.float32), positive, threshold)[0]
    assert decide(row, positive, threshold) == expected
