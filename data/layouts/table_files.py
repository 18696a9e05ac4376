"""The files that the cells of a table mean, however their names are encoded."""

import posixpath
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property

from pyarrow import fs

from data.layouts.base import Listing
from data.names import one_spelling


class TableFiles:
    """Finds files by what a table calls them; paths start at the listing's folder.

    A name means the file of just this name. Where there is none, it means the one file whose name
    only its encoding or, failing that, capitals tell apart: macOS writes ``ä`` as two characters
    in names of files, and Windows takes ``A.PNG`` for ``a.png`` and separates folders by
    backslashes.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._listed = {*listing.files}

    def find(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return name -> path, None where there is no such file.

        A path starts at the listing's folder where the file lies below it, and is absolute
        elsewhere.
        """
        found = {name: self._below(name) for name in names if name}
        unlisted = [name for name, path in found.items() if path is None]
        existing = self._existing(sorted({path for n in unlisted for path in self._variants(n)}))
        for name in unlisted:
            found[name] = next((path for path in self._variants(name) if path in existing), None)
        return found

    def _below(self, name: str) -> str | None:
        path = self.relative(name)
        if path in self._listed:
            return path
        key = _key(self.relative(name.replace("\\", "/")))
        return self._by_key.get(key) or self._by_small_letters.get(key.casefold())

    @cached_property
    def _by_key(self) -> dict[str, str | None]:
        return _only((_key(path), path) for path in self._listing.files)

    @cached_property
    def _by_small_letters(self) -> dict[str, str | None]:
        return _only((_key(path).casefold(), path) for path in self._listing.files)

    def relative(self, name: str) -> str:
        """Return ``name`` from the listing's folder where it lies below it, else as it is."""
        if "://" in name:
            return name.removeprefix(f"{self._listing.uri}/")
        path = posixpath.normpath(posixpath.join(self._listing.root, name))
        return path.removeprefix(f"{self._listing.root}/")

    def _variants(self, name: str) -> Iterator[str]:
        path = self.relative(name)
        yield path
        if not path.isascii():
            yield from (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
        if "\\" in path:
            yield self.relative(name.replace("\\", "/"))

    def _existing(self, paths: list[str]) -> set[str]:
        """Return those of ``paths`` that are files, asking the file system."""
        filesystem, root = self._listing.filesystem, self._listing.root
        places = [posixpath.join(root, path) for path in paths]
        try:
            infos = filesystem.get_file_info(places)
        except OSError:  # one of them can be no name: it is too long, for example
            one_by_one = (self._existing([path]) for path in paths) if len(paths) > 1 else ()
            return set[str]().union(*one_by_one)
        return {
            path for path, info in zip(paths, infos, strict=True) if info.type == fs.FileType.File
        }


def _only(files: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """Return key -> file, None where several files have the key."""
    found: dict[str, str | None] = {}
    for key, path in files:
        found[key] = None if key in found else path
    return found


def _key(path: str) -> str:
    if path.isascii() and path.isprintable() and " " not in path:
        return path
    return "/".join(map(one_spelling, path.split("/")))
