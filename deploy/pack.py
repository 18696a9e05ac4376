"""``sparkdl-bench deploy pack``: the current environment as a relocatable archive.

The archive contains the interpreter with its standard library and linked libraries, the packages
and Java. A Spark worker only needs Linux with a C library at least as new as the one that the
packed programs require; the manifest records that version (``deploy.packing.c_library``).
"""

import platform
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli_paths import path_option
from deploy.errors import DeployError


@dataclass(frozen=True)
class Packed:
    """Summary of a packed environment."""

    #: Number of packages.
    packages: int
    #: Bytes before compression.
    content_bytes: int
    #: Bytes of the archive.
    archive_bytes: int
    #: Checksum of names and contents: equal for equal environments.
    checksum: str
    #: Oldest C library that the environment runs with, such as ``glibc-2.34``.
    libc: str


def pack(
    output: Annotated[
        Path,
        typer.Argument(
            parser=path_option, metavar="PATH", help="Archive to write; ends in .tar.gz."
        ),
    ] = Path("environment.tar.gz"),
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP",
            help="Leave out the packages that only this dependency group needs, such as "
            "torch_distributor; may be repeated.",
        ),
    ] = None,
) -> None:
    """Pack the interpreter, the locked packages and Java for --environment archive."""
    from data.command_line import plain_errors

    with plain_errors():
        started = time.monotonic()
        packed = pack_environment(output, without or ())
        typer.echo(
            f"{output}: {packed.packages} packages, {packed.archive_bytes / 1e6:,.0f} MB "
            f"({packed.content_bytes / 1e6:,.0f} MB unpacked), checksum {packed.checksum[:12]}, "
            f"in {time.monotonic() - started:.0f} s; needs {packed.libc} or newer\n"
            f"run_experiment.py --environment archive --environment-archive {output}"
        )


def pack_environment(output: Path, without: Collection[str] = ()) -> Packed:
    """Write the environment of this process to ``output``.

    Parameters
    ----------
    output
        Archive to write.
    without
        Dependency groups whose packages are left out, unless something else needs them.

    Raises
    ------
    DeployError
        If the file name does not end in ``.tar.gz`` or ``.tgz``, which Spark requires, if a group
        does not exist, or if the file cannot be written.
    """
    from deploy.packing import c_library, interpreter, packages
    from deploy.packing.archive import Entry, new_archive
    from experiments.spark.environment import MANIFEST, Manifest
    from experiments.spark.locked import groups, needed_distributions

    if not output.name.endswith((".tar.gz", ".tgz")):
        raise DeployError(
            f"{output}: Spark detects the format of an archive by its name: end it in .tar.gz"
        )
    if unknown := sorted(set(without) - set(groups())):
        raise DeployError(
            f"there is no dependency group '{unknown[0]}'; the groups are {', '.join(groups())}"
        )
    distributions = needed_distributions(without=without)
    # Keyed by name, so that a file owned by two packages is stored once.
    unique = {entry.name: entry for entry in packages.entries(distributions.values())}
    compiled = [e.content for e in unique.values() if isinstance(e.content, Path) and e.is_library]
    unique |= {entry.name: entry for entry in interpreter.runtimes(compiled)}
    unique |= {entry.name: entry for entry in interpreter.entries()}
    libc = c_library.needed_by(unique.values())
    unfinished = output.with_name(f"{output.name}.unfinished")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with new_archive(unfinished) as archive:
            for _, entry in sorted(unique.items()):
                archive.add(packages.with_bytecode(entry))
            manifest = Manifest(
                python=platform.python_version(),
                libc=libc,
                packages={name: one.version for name, one in distributions.items()},
                checksum=archive.checksum,
                without=tuple(sorted(set(without))),
            )
            archive.add([Entry(MANIFEST, manifest.to_json().encode())])
        unfinished.replace(output)
    except OSError as error:
        raise DeployError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Packed(
        len(distributions), archive.content_bytes, output.stat().st_size, manifest.checksum, libc
    )
