import hashlib
from pathlib import Path

import numpy as np
import pytest

from models import ModelError, training_set

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def written(folder: Path, patients: list[str]) -> training_set.TrainingSet:
    images = [hashlib.sha256(image.tobytes()).digest() for image in PIXELS[:3]]
    training_set.write(folder, images, patients)
    return training_set.read(folder)


def test_images_and_patients_of_the_set_are_known_and_no_others(tmp_path: Path) -> None:
    known = written(tmp_path, ["p1", "p2", "p1"])
    assert known.images_known(PIXELS).tolist() == [True, True, True, False, False]
    assert known.images_known(PIXELS[::-1]).tolist() == [False, False, True, True, True]
    assert known.patients_known(["p2", "P2", "p3"]).tolist() == [True, False, False]
    assert (len(known.images), len(known.patients)) == (3, 2)
    assert (np.diff(known.images.astype(float)) > 0).all()


def test_patient_is_known_in_another_encoding_of_its_name(tmp_path: Path) -> None:
    known = written(tmp_path, ["Jos\u00e9 1"])
    assert known.patients_known(["Jose\u0301\u00a01 "]).all()


def test_set_without_patients_and_empty_questions_are_answered(tmp_path: Path) -> None:
    known = written(tmp_path, [])
    assert known.patients_known(["p1"]).tolist() == [False]
    assert known.images_known(PIXELS[:0]).shape == known.patients_known([]).shape == (0,)


def test_file_holds_no_name(tmp_path: Path) -> None:
    written(tmp_path, ["patient-with-a-name"])
    with np.load(tmp_path / training_set.TRAINING_SET) as arrays:
        assert {name: arrays[name].dtype for name in arrays} == {
            "images": np.uint64,
            "patients": np.uint64,
        }
    assert b"name" not in (tmp_path / training_set.TRAINING_SET).read_bytes()


def test_missing_or_damaged_file_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no digests of its training images"):
        training_set.read(tmp_path)
    (tmp_path / training_set.TRAINING_SET).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        training_set.read(tmp_path)
