"""Matching the cells of a table to files, independently of how names are written."""

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from pyarrow import fs

from data.layouts.listing import Listing
from data.layouts.paths import stem
from data.names import one_spelling

#: Drive of an absolute Windows path.
_DRIVE = re.compile(r"[a-z]:(?=/)", re.IGNORECASE)


class TableFiles:
    """Finds files by the names in a table; paths are relative to the folder of the listing.

    A name refers to the file with exactly this name. If there is none, it refers to the one file
    whose name differs only in encoding or, failing that, in case: macOS writes ``ä`` as two
    characters in file names, and Windows treats ``A.PNG`` as ``a.png`` and separates folders by
    backslashes. If there is none either, it refers to the one image whose file name, with or
    without its suffix, is the last part of the name: tables are often written before images are
    moved to other folders or machines.

    Parameters
    ----------
    listing
        Files of the source.
    folder
        Folder of the table: a path relative to the folder of the listing, an absolute path or a
        URI.
    """

    def __init__(self, listing: Listing, folder: str = "") -> None:
        self._listing = listing
        self._folder = folder
        self._listed = {*listing.files}
        #: Name -> the images that it may refer to, if there are several.
        self.ambiguous: dict[str, list[str]] = {}
        #: Name -> image with the same file name in another folder than the name gives.
        self.moved: dict[str, str] = {}

    def find(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return name -> path, None if there is no such file or the name is ambiguous.

        Paths of files below the folder of the listing are relative to it, others are absolute.
        """
        self.ambiguous, self.moved = {}, {}
        found = {name: self._below(name) for name in names if name}
        self._look_up(found, [name for name in _open(found) if _leads_elsewhere(name)])
        self._by_file_name(found)
        self._look_up(found, _open(found))
        return found

    def share(self, names: Iterable[str]) -> float:
        """Return the share of ``names`` that refer to distinct files."""
        names = [*names]
        found = {name: self._below(name) for name in names if name}
        if isinstance(self._listing.filesystem, fs.LocalFileSystem):
            self._look_up(found, [name for name in _open(found) if _leads_elsewhere(name)])
        self._by_file_name(found)
        return len({*found.values()} - {None}) / max(len(names), 1)

    def _look_up(self, found: dict[str, str | None], names: list[str]) -> None:
        """Look up ``names`` in the file system, also outside of the listing."""
        existing = self._existing(sorted({path for n in names for path in self._variants(n)}))
        for name in names:
            found[name] = next((path for path in self._variants(name) if path in existing), None)

    def _below(self, name: str) -> str | None:
        for start in (name, self._from_table(name)):
            path = self.relative(start)
            if path in self._listed:
                return path
            key = _key(self.relative(start.replace("\\", "/")))
            known = self._by_key.get(key) or self._by_small_letters.get(key.casefold())
            if known is not None or not self._folder:
                return known
        return None

    def _from_table(self, name: str) -> str:
        """Return ``name`` joined to the folder of the table, unless it is a URI."""
        return name if "://" in name else posixpath.join(self._folder, name)

    def _by_file_name(self, found: dict[str, str | None]) -> None:
        """Match the remaining names by file name alone, to images that are not yet matched."""
        taken = {*found.values()}
        meant: dict[str, list[str]] = {}
        for name in _open(found):
            images = self._named(name)
            if len(images) > 1:
                self.ambiguous[name] = images
            elif images and images[0] not in taken:
                meant.setdefault(images[0], []).append(name)
        for path, names in meant.items():
            if len(names) == 1:
                found[names[0]] = path
                folder = self.relative(_slashes(names[0])).rpartition("/")[0]
                if "/" in _slashes(names[0]) and folder != path.rpartition("/")[0]:
                    self.moved[names[0]] = path

    def _named(self, name: str) -> list[str]:
        """Return the images with the file name of ``name`` whose folders match it best."""
        parts = _parts(name)
        last = parts[-1]
        images = self._by_last_part.get(last, []) or self._by_stem.get(last, [])
        if not images and last.isdigit():  # spreadsheets remove leading zeros
            images = self._by_number.get(_number(last), [])
        if len(images) < 2:
            return images
        alike = [_parts_alike(parts[:-1], _parts(path)[:-1]) for path in images]
        return [path for path, number in zip(images, alike, strict=True) if number == max(alike)]

    @cached_property
    def _by_key(self) -> dict[str, str | None]:
        return _only((_key(path), path) for path in self._listing.files)

    @cached_property
    def _by_small_letters(self) -> dict[str, str | None]:
        return _only((_key(path).casefold(), path) for path in self._listing.files)

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        return _grouped((path.rpartition("/")[2], path) for path in self._listing.images)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped((stem(path), path) for path in self._listing.images)

    @cached_property
    def _by_number(self) -> dict[str, list[str]]:
        stems = ((stem(path), path) for path in self._listing.images)
        return _grouped((_number(name), path) for name, path in stems if name.isdigit())

    def relative(self, name: str) -> str:
        """Return ``name`` relative to the folder of the listing if it is below it."""
        if "://" in name:
            return name.removeprefix(f"{self._listing.uri}/")
        path = posixpath.normpath(posixpath.join(self._listing.root, name))
        return path.removeprefix(f"{self._listing.root}/")

    def _variants(self, name: str) -> Iterator[str]:
        for start in dict.fromkeys((name, self._from_table(name))):
            path = self.relative(start)
            yield path
            if not path.isascii():
                yield from (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
            if "\\" in path:
                yield self.relative(start.replace("\\", "/"))

    def _existing(self, paths: list[str]) -> set[str]:
        """Return those of ``paths`` that are files according to the file system."""
        if not paths:
            return set()
        filesystem, root = self._listing.filesystem, self._listing.root
        places = [posixpath.join(root, path) for path in paths]
        try:
            infos = filesystem.get_file_info(places)
        except OSError:  # one of them cannot be a file name, for example because it is too long
            one_by_one = (self._existing([path]) for path in paths) if len(paths) > 1 else ()
            return set[str]().union(*one_by_one)
        return {
            path for path, info in zip(paths, infos, strict=True) if info.type == fs.FileType.File
        }


def _open(found: Mapping[str, str | None]) -> list[str]:
    return [name for name, path in found.items() if path is None]


def _leads_elsewhere(name: str) -> bool:
    """Return whether a name may refer to a file outside of the folder of the listing."""
    return name.startswith(("/", "..")) or "://" in name or "/../" in name


def _only(files: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """Return key -> file, None if several files have the key."""
    found: dict[str, str | None] = {}
    for key, path in files:
        found[key] = None if key in found else path
    return found


def _grouped(images: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return case-folded key -> all images with that key."""
    found: dict[str, list[str]] = {}
    for key, path in images:
        found.setdefault(_key(key).casefold(), []).append(path)
    return found


def _key(path: str) -> str:
    if path.isascii() and path.isprintable() and " " not in path:
        return path
    return "/".join(map(one_spelling, path.split("/")))


def _number(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _slashes(name: str) -> str:
    """Return a name with forward slashes and without a Windows drive."""
    return _DRIVE.sub("", name.replace("\\", "/"))


def _parts(name: str) -> list[str]:
    """Return the case-folded folders and file name."""
    return [part.casefold() for part in _key(_slashes(name)).split("/")]


def _parts_alike(folders: list[str], others: list[str]) -> int:
    """Return the number of trailing folders that are equal."""
    number = 0
    for one, other in zip(reversed(folders), reversed(others), strict=False):
        if one != other:
            break
        number += 1
    return number
