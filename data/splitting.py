"""Split of patients into train, validation and test, stored as a manifest with a checksum."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.config import SplitConfig, Unit
from data.errors import DataError
from data.names import likeness, one_spelling
from data.published_parts import assign_parts
from data.schema import SPLITS
from data.split_search import draw
from data.storage import locate, read_bytes, write_bytes


@dataclass(frozen=True)
class SplitManifest:
    """Assignment of every group to a side; manifests with equal checksums give equal splits."""

    by: Literal["patient", "image"]
    #: Seed with which the groups were drawn.
    seed: int
    #: Mapping from group to ``train``, ``validation`` or ``test``.
    assignments: dict[str, str]

    @property
    def checksum(self) -> str:
        """SHA-256 over ``by`` and the sorted assignments, in hexadecimal digits.

        The seed is excluded, because it does not change the assignments.
        """
        content = json.dumps([self.by, sorted(self.assignments.items())], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the manifest as JSON text with sorted groups."""
        content = {
            "by": self.by,
            "seed": self.seed,
            "checksum": self.checksum,
            "assignments": dict(sorted(self.assignments.items())),
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse a manifest; refuse one that is damaged or assigns a group to two sides.

        Raises
        ------
        DataError
            If the text is not a manifest, contains a group twice or an unknown split, or does not
            match its checksum.
        """
        try:
            content = json.loads(text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the split manifest is not JSON: {error}") from None
        if not isinstance(content, dict) or content.keys() != _MANIFEST_KEYS:
            raise DataError(
                f"the split manifest must contain exactly {', '.join(sorted(_MANIFEST_KEYS))}"
            )
        if content["by"] not in ("patient", "image"):
            raise DataError(
                f"the split manifest divides by '{content['by']}' instead of patient or image"
            )
        if type(content["seed"]) is not int:
            raise DataError("the split manifest's seed must be a whole number")
        if not isinstance(content["assignments"], dict):
            raise DataError("the split manifest's assignments must map each group to a split")
        for group, split in content["assignments"].items():
            if split not in SPLITS:
                raise DataError(
                    f"the split manifest assigns group {group} to '{split}', "
                    f"which is not one of {', '.join(SPLITS)}"
                )
        manifest = cls(content["by"], content["seed"], content["assignments"])
        if manifest.checksum != content["checksum"]:
            raise DataError(
                "the split manifest was changed after it was written (its checksum differs); "
                "make a new one with 'sparkdl-bench data split'"
            )
        return manifest

    def save(self, path: str | Path) -> None:
        """Write the manifest to ``path`` atomically."""
        filesystem, location = locate(path)
        filesystem.create_dir(str(Path(location).parent), recursive=True)
        write_bytes(filesystem, location, self.to_json().encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a manifest from ``path``; raise DataError with the path if it is unusable."""
        filesystem, location = locate(path)
        try:
            text = read_bytes(filesystem, location).decode("utf-8-sig")
        except FileNotFoundError:
            raise DataError(f"{path}: no such split manifest") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as a split manifest: {error}") from None
        try:
            return cls.from_json(text)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


_MANIFEST_KEYS = {"by", "seed", "checksum", "assignments"}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys, of which ``json`` would silently keep only the last."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise DataError(f"the split manifest lists '{key}' twice; a group has one side")
        content[key] = value
    return content


def regroup(table: pa.Table, by: Literal["patient", "image"]) -> pa.Table:
    """Set the column ``group`` to the unit that the split keeps together.

    With ``image``, every image is a separate group: the leaking split with which a split by patient
    is compared.
    """
    if by == "patient":
        return table
    position = table.schema.get_field_index("group")
    return table.set_column(position, table.schema.field("group"), table.column("image_id"))


def make_split(
    table: pa.Table,
    config: SplitConfig,
    before: SplitManifest | None = None,
    unit: Unit | None = None,
) -> SplitManifest:
    """Divide the groups of ``table`` between train, validation and test.

    Parameters
    ----------
    table
        Columns ``group``, ``label`` (int), ``class_name`` and, for ``method: folds`` and
        ``as-is``, ``fold``, as returned by `regroup`. The order of its rows does not matter.
    config
        Shares, method and seed, or the manifest to use unchanged.
    before
        Earlier split with the same configuration, made before images were added or removed. Its
        groups keep their side permanently, because a model may have been selected with them.
    unit
        Unit of a group if it differs from ``config.by``: a lesion, or an image if no patients are
        known.

    Raises
    ------
    DataError
        If the groups cannot be divided with each class in each part, a fold or a part is unknown or
        divides a group, or the manifest does not cover the table.
    """
    unit = unit or config.by
    by: Literal["patient", "image"] = "image" if unit == "image" else "patient"
    if config.manifest is not None:
        manifest = _given(table, config, by)
    else:
        if config.method == "folds":
            assignments = _by_folds(table, config, unit)
        elif config.method == "as-is":
            assignments = _as_is(table, config, unit)
        elif before is not None:
            assignments = _extended(table, config, before.assignments)
        else:
            assignments = _stratified(table, config, unit)
        manifest = SplitManifest(by, config.seed, assignments)
    _check_classes(table, manifest)
    return manifest


def _given(table: pa.Table, config: SplitConfig, by: Literal["patient", "image"]) -> SplitManifest:
    manifest = SplitManifest.load(str(config.manifest))
    if manifest.by != by:
        advice = f"but {by} was requested; give --split-by {manifest.by}"
        if by != config.by:
            advice = "but the source has no patients; give them with --group-pattern or --labels"
        raise DataError(
            f"{config.manifest} divides by {manifest.by}, {advice} or make another manifest"
        )
    if manifest.by == "patient":
        manifest = replace(manifest, assignments=_in_one_spelling(manifest, str(config.manifest)))
    missing = sorted(set(table.column("group").to_pylist()) - manifest.assignments.keys())
    if missing:
        raise DataError(
            f"{config.manifest} does not cover {len(missing)} groups of the data "
            f"({_some(missing)}); make a new one with 'sparkdl-bench data split'"
        )
    return manifest


def _in_one_spelling(manifest: SplitManifest, path: str) -> dict[str, str]:
    """Return the assignments with group names normalized as in an index."""
    assignments: dict[str, str] = {}
    for group, side in manifest.assignments.items():
        if assignments.setdefault(one_spelling(group), side) != side:
            raise DataError(
                f"{path} assigns the patient {one_spelling(group)}, whose name is encoded in two "
                "ways, to two sides; make a new one with 'sparkdl-bench data split'"
            )
    return assignments


def _stratified(table: pa.Table, config: SplitConfig, unit: Unit) -> dict[str, str]:
    shares = {"test": config.test, "validation": config.validation}
    groups, counts = _count(table)
    _check_enough(counts, _class_names(table), unit, 3)
    return _draw(groups, counts, shares, config.seed)


def _extended(table: pa.Table, config: SplitConfig, before: Mapping[str, str]) -> dict[str, str]:
    """Keep the side of known groups; assign each new group where its classes are most lacking.

    New groups are processed by decreasing size, in an order drawn from the seed for equal sizes, so
    that small groups can compensate for imbalances left by large ones.
    """
    groups, counts = _count(table)
    shares = {"test": config.test, "validation": config.validation}
    shares["train"] = 1 - sum(shares.values())
    wanted = np.array([[share] for share in shares.values()]) * counts.sum(axis=0)
    held = np.zeros_like(wanted)
    sides = {group: before[group] for group in groups if group in before}
    names = [*shares]
    for number, group in enumerate(groups):
        if group in sides:
            held[names.index(sides[group])] += counts[number]
    order = np.random.default_rng(config.seed).permutation(len(groups))
    for number in sorted(order, key=lambda number: -counts[number].sum()):
        group = groups[number]
        if group not in sides:
            missing = (1 - held / np.maximum(wanted, 1)) @ counts[number]
            sides[group] = names[int(missing.argmax())]
            held[names.index(sides[group])] += counts[number]
    return sides


def _by_folds(table: pa.Table, config: SplitConfig, unit: Unit) -> dict[str, str]:
    """Use the publisher's folds; draw validation groups if no fold is selected for them."""
    known = sorted(set(table.column("fold").to_pylist()) - {""})
    split_of_fold = dict.fromkeys(config.validation_folds, "validation")
    for fold in config.test_folds:
        if fold in split_of_fold:
            raise DataError(f"fold '{fold}' cannot be test and validation at once")
        split_of_fold[fold] = "test"
    for fold in split_of_fold:
        if fold not in known:
            has = f"has {', '.join(known)}" if known else "is published without folds"
            raise DataError(f"there is no fold '{fold}': the data {has}")
    assignments: dict[str, str] = {}
    folds: dict[str, str] = {}
    columns = (table.column(name).to_pylist() for name in ("group", "fold"))
    for group, fold in zip(*columns, strict=True):
        side = split_of_fold.get(fold, "train")
        if assignments.setdefault(group, side) != side:
            raise DataError(
                f"{unit} {group} is in the folds '{folds[group]}' and '{fold}', "
                f"so these folds cannot keep it on one side"
            )
        folds[group] = fold
    if not config.validation_folds:
        assignments |= _validation_of_train(table, config, unit, assignments)
    return assignments


def _as_is(table: pa.Table, config: SplitConfig, unit: Unit) -> dict[str, str]:
    """Use the source's own folders; draw validation groups from train if there are none."""
    assignments = assign_parts(table, unit)
    if "validation" not in assignments.values():
        assignments |= _validation_of_train(table, config, unit, assignments)
    return assignments


def _validation_of_train(
    table: pa.Table, config: SplitConfig, unit: Unit, assignments: Mapping[str, str]
) -> dict[str, str]:
    """Draw validation groups from the training groups; return the new sides of all of these."""
    remaining = [group for group, side in assignments.items() if side == "train"]
    rest = table.filter(pc.is_in(table.column("group"), pa.array(remaining, pa.string())))
    groups, counts = _count(rest)
    _check_enough(counts, _class_names(rest), unit, 2)
    return _draw(groups, counts, {"validation": config.validation}, config.seed)


def _draw(
    groups: list[str], counts: np.ndarray, shares: dict[str, float], seed: int
) -> dict[str, str]:
    """Return the parts drawn by `data.split_search.draw` by name; the remainder is ``train``."""
    names = [*shares, "train"]
    parts = draw(counts, [*shares.values()], seed)
    if parts is None:
        raise DataError(
            f"no division of these {len(groups)} groups puts every class in each of "
            f"{', '.join(reversed(names))}, because groups contain several classes; "
            "leave out a rare class or merge it with another (--class)"
        )
    return {group: names[part] for group, part in zip(groups, parts, strict=True)}


def _count(table: pa.Table) -> tuple[list[str], np.ndarray]:
    """Return the sorted groups and their images per class, int64 of shape (groups, classes)."""
    names, group_codes = np.unique(table.column("group").to_pylist(), return_inverse=True)
    labels, label_codes = np.unique(table.column("label").to_numpy(), return_inverse=True)
    counts = np.zeros((len(names), len(labels)), np.int64)
    np.add.at(counts, (group_codes, label_codes), 1)
    return names.tolist(), counts


def _class_names(table: pa.Table) -> list[str]:
    """Return the class names of the labels that occur, in label order."""
    pairs = zip(
        table.column("label").to_pylist(), table.column("class_name").to_pylist(), strict=True
    )
    return [name for _, name in sorted(set(pairs))]


def _check_enough(counts: np.ndarray, class_names: list[str], unit: Unit, parts: int) -> None:
    """Refuse fewer groups than parts, in total and for each class."""
    if len(counts) < parts:
        raise DataError(
            f"{_some_of(len(counts), unit)} cannot fill {parts} parts: each part needs at least one"
        )
    for name, groups in zip(class_names, (counts > 0).sum(axis=0), strict=True):
        if groups < parts:
            raise DataError(
                f"class '{name}' has {_some_of(groups, unit)} to divide among {parts} parts, "
                f"which need at least one each; {_advice(name, class_names)}"
            )


def _some_of(number: int, unit: Unit) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _advice(name: str, class_names: Iterable[str]) -> str:
    """Return advice for a class that is too small, which may be another class misspelled."""
    alike = [other for other in class_names if other != name and likeness(other) == likeness(name)]
    if alike:
        return f"if it is another spelling of '{alike[0]}', use the same spelling or merge them"
    return "leave out the class or merge it with another (--class)"


def _check_classes(table: pa.Table, manifest: SplitManifest) -> None:
    """Refuse a part without images of some class, for which scores would be undefined."""
    class_names = _class_names(table)
    seen: set[tuple[str, str]] = set()
    columns = (table.column(name).to_pylist() for name in ("group", "class_name"))
    for group, class_name in zip(*columns, strict=True):
        seen.add((manifest.assignments[group], class_name))
    for split in SPLITS:
        missing = [name for name in class_names if (split, name) not in seen]
        if missing:
            raise DataError(
                f"the split '{split}' would contain no image of {_some(missing)}; "
                "choose other folds, another --split or other classes (--class)"
            )


def _some(names: Iterable[str], limit: int = 3) -> str:
    listed = [*names]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
