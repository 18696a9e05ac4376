"""Which patients train, validate and test: made once, written down with a checksum."""

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
    """Every group's side. Two manifests with equal checksums divide the data alike."""

    by: Literal["patient", "image"]
    #: The seed that the groups were drawn with.
    seed: int
    #: Group -> ``train``, ``validation`` or ``test``.
    assignments: dict[str, str]

    @property
    def checksum(self) -> str:
        """SHA-256 over ``by`` and the sorted assignments, as hexadecimal digits.

        The seed is left out: it says how the groups were drawn, not where they stand.
        """
        content = json.dumps([self.by, sorted(self.assignments.items())], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the manifest as JSON text, groups sorted."""
        content = {
            "by": self.by,
            "seed": self.seed,
            "checksum": self.checksum,
            "assignments": dict(sorted(self.assignments.items())),
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a manifest and refuse one that is damaged or puts a group on two sides.

        Raises
        ------
        DataError
            When the text is no manifest, names a group twice or an unknown split, or does not
            have the checksum that it carries.
        """
        try:
            content = json.loads(text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the split manifest is not JSON: {error}") from None
        if not isinstance(content, dict) or content.keys() != _MANIFEST_KEYS:
            raise DataError(
                f"the split manifest must hold {', '.join(sorted(_MANIFEST_KEYS))} and nothing else"
            )
        if content["by"] not in ("patient", "image"):
            raise DataError(
                f"the split manifest divides by '{content['by']}', not patient or image"
            )
        if type(content["seed"]) is not int:
            raise DataError("the split manifest's seed must be a whole number")
        if not isinstance(content["assignments"], dict):
            raise DataError("the split manifest's assignments must map each group to a split")
        for group, split in content["assignments"].items():
            if split not in SPLITS:
                raise DataError(
                    f"the split manifest puts group {group} in '{split}', "
                    f"which is none of {', '.join(SPLITS)}"
                )
        manifest = cls(content["by"], content["seed"], content["assignments"])
        if manifest.checksum != content["checksum"]:
            raise DataError(
                "the split manifest was changed after it was written (its checksum differs); "
                "make a new one with 'python -m data split'"
            )
        return manifest

    def save(self, path: str | Path) -> None:
        """Write the manifest to ``path``, all of it or nothing."""
        filesystem, location = locate(path)
        filesystem.create_dir(str(Path(location).parent), recursive=True)
        write_bytes(filesystem, location, self.to_json().encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a manifest from ``path``; raise DataError naming the file when it is unusable."""
        filesystem, location = locate(path)
        try:
            text = read_bytes(filesystem, location).decode("utf-8-sig")
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such split manifest") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as a split manifest: {error}") from None
        try:
            return cls.from_json(text)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


_MANIFEST_KEYS = {"by", "seed", "checksum", "assignments"}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep what ``json`` would drop in silence: the second side of a group listed twice."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise DataError(f"the split manifest lists '{key}' twice; a group has one side")
        content[key] = value
    return content


def regroup(table: pa.Table, by: Literal["patient", "image"]) -> pa.Table:
    """Set the column ``group`` to what must stay together.

    ``image`` makes every image a group of its own: the leaking split that a split by patient is
    compared with.
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
        ``as-is``, ``fold``; already passed through `regroup`. The order of its rows does not
        matter.
    config
        Shares, method and seed, or the manifest to use as it is.
    before
        A split of the same configuration when there were other images: groups that stand in it keep
        their side, for good: a model may have been chosen by them.
    unit
        What a group is, where it is not what ``config.by`` says: a lesion, or an image where no
        patients are known.

    Raises
    ------
    DataError
        When the groups cannot be divided so that each class stands in each part, when a fold or a
        part is unknown or cuts a group in two, or when the manifest does not cover the table.
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
        asked = f"and by {by} was asked for; give --split-by {manifest.by}"
        if by != config.by:
            asked = "and no patients are named here; name them with --group-pattern or --labels"
        raise DataError(
            f"{config.manifest} divides by {manifest.by} {asked} or make another manifest"
        )
    if manifest.by == "patient":
        manifest = replace(manifest, assignments=_in_one_spelling(manifest, str(config.manifest)))
    missing = sorted(set(table.column("group").to_pylist()) - manifest.assignments.keys())
    if missing:
        raise DataError(
            f"{config.manifest} does not cover {len(missing)} groups of the data "
            f"({_some(missing)}); make a new one with 'python -m data split'"
        )
    return manifest


def _in_one_spelling(manifest: SplitManifest, path: str) -> dict[str, str]:
    """Return the assignments under the names that the groups have in an index."""
    assignments: dict[str, str] = {}
    for group, side in manifest.assignments.items():
        if assignments.setdefault(one_spelling(group), side) != side:
            raise DataError(
                f"{path} puts the patient {one_spelling(group)}, whose name is encoded in two "
                "ways, on two sides; make a new one with 'python -m data split'"
            )
    return assignments


def _stratified(table: pa.Table, config: SplitConfig, unit: Unit) -> dict[str, str]:
    shares = {"test": config.test, "validation": config.validation}
    groups, counts = _count(table)
    _check_enough(counts, _class_names(table), unit, 3)
    return _draw(groups, counts, shares, config.seed)


def _extended(table: pa.Table, config: SplitConfig, before: Mapping[str, str]) -> dict[str, str]:
    """Keep the side of known groups; each new one goes where its classes are most wanted.

    New groups come in an order drawn from the seed, the larger ones first, so that the last ones
    can make good what the first ones have left uneven.
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
    """Take the publisher's folds; validation groups are drawn where no fold is named for them."""
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
                f"{unit} {group} stands in the folds '{folds[group]}' and '{fold}', "
                f"so these folds cannot keep it on one side"
            )
        folds[group] = fold
    if not config.validation_folds:
        assignments |= _validation_of_train(table, config, unit, assignments)
    return assignments


def _as_is(table: pa.Table, config: SplitConfig, unit: Unit) -> dict[str, str]:
    """Take the source's own folders; validation groups are drawn from train where none are."""
    assignments = assign_parts(table, unit)
    if "validation" not in assignments.values():
        assignments |= _validation_of_train(table, config, unit, assignments)
    return assignments


def _validation_of_train(
    table: pa.Table, config: SplitConfig, unit: Unit, assignments: Mapping[str, str]
) -> dict[str, str]:
    """Draw validation groups among those that train and return the new side of all of these."""
    remaining = [group for group, side in assignments.items() if side == "train"]
    rest = table.filter(pc.is_in(table.column("group"), pa.array(remaining, pa.string())))
    groups, counts = _count(rest)
    _check_enough(counts, _class_names(rest), unit, 2)
    return _draw(groups, counts, {"validation": config.validation}, config.seed)


def _draw(
    groups: list[str], counts: np.ndarray, shares: dict[str, float], seed: int
) -> dict[str, str]:
    """Name the parts that `data.split_search.draw` numbers; what is left over trains."""
    names = [*shares, "train"]
    parts = draw(counts, [*shares.values()], seed)
    if parts is None:
        raise DataError(
            f"no division of these {len(groups)} groups puts every class in each of "
            f"{', '.join(reversed(names))}: groups that hold several classes leave no choice; "
            "leave a rare class out or merge it with another (--class)"
        )
    return {group: names[part] for group, part in zip(groups, parts, strict=True)}


def _count(table: pa.Table) -> tuple[list[str], np.ndarray]:
    """Return the groups, sorted, and their images per class (groups x classes, int64)."""
    names, group_codes = np.unique(table.column("group").to_pylist(), return_inverse=True)
    labels, label_codes = np.unique(table.column("label").to_numpy(), return_inverse=True)
    counts = np.zeros((len(names), len(labels)), np.int64)
    np.add.at(counts, (group_codes, label_codes), 1)
    return names.tolist(), counts


def _class_names(table: pa.Table) -> list[str]:
    """Class names in label order, for the labels that occur."""
    pairs = zip(
        table.column("label").to_pylist(), table.column("class_name").to_pylist(), strict=True
    )
    return [name for _, name in sorted(set(pairs))]


def _check_enough(counts: np.ndarray, class_names: list[str], unit: Unit, parts: int) -> None:
    """Refuse fewer groups than parts, over all classes and in each."""
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
    """Say what to do about a class that is too small, above all if it is another one misspelt."""
    alike = [other for other in class_names if other != name and likeness(other) == likeness(name)]
    if alike:
        return f"if it is '{alike[0]}' written in another way, write both alike or merge them"
    return "leave the class out or merge it with another (--class)"


def _check_classes(table: pa.Table, manifest: SplitManifest) -> None:
    """Refuse a part without images of some class: no score could be computed on it."""
    class_names = _class_names(table)
    seen: set[tuple[str, str]] = set()
    columns = (table.column(name).to_pylist() for name in ("group", "class_name"))
    for group, class_name in zip(*columns, strict=True):
        seen.add((manifest.assignments[group], class_name))
    for split in SPLITS:
        missing = [name for name in class_names if (split, name) not in seen]
        if missing:
            raise DataError(
                f"the split '{split}' would hold no image of {_some(missing)}; "
                "choose other folds, another --split or other classes (--class)"
            )


def _some(names: Iterable[str], limit: int = 3) -> str:
    listed = [*names]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
