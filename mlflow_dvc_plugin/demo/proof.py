"""Proving that restored files are, byte for byte, those of the first run."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from mlflow_dvc_plugin.demo.shell import DemoError


class Proof(NamedTuple):
    """A file that was compared and found identical.

    Attributes:
        path: relative to the project.
        size: bytes.
        md5: in hex.
    """

    path: str
    size: int
    md5: str


def data_files(project: str) -> list[str]:
    """The files below ``data/`` that DVC tracks, relative to the project, sorted."""
    return sorted(_data_files(project))


def keep(project: str, vault: str) -> None:
    """Copy the project's data to `vault`, out of DVC's reach."""
    for path in data_files(project):
        target = os.path.join(vault, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(project, path), target)


def prove(project: str, vault: str) -> list[Proof]:
    """Compare the project's data with the copy in `vault`.

    Raises:
        DemoError: a file is missing, in excess or different.
    """
    kept, restored = data_files(vault), data_files(project)
    if kept != restored:
        raise DemoError(
            f"The first run had {', '.join(kept) or 'no file'}, but restored were "
            f"{', '.join(restored) or 'none'}; please report this with the output above."
        )
    proofs = []
    for path in kept:
        before, after = _read(vault, path), _read(project, path)
        if before != after:
            raise DemoError(
                f"{path} differs from the file that the first run used; "
                "please report this with the output above."
            )
        proofs.append(Proof(path, len(after), hashlib.md5(after).hexdigest()))
    return proofs


def _data_files(project: str) -> Iterator[str]:
    for folder, _, names in os.walk(os.path.join(project, "data")):
        for name in names:
            if name != ".gitignore" and not name.endswith(".dvc"):
                yield os.path.relpath(os.path.join(folder, name), project).replace(os.sep, "/")


def _read(folder: str, path: str) -> bytes:
    with open(os.path.join(folder, path), "rb") as file:
        return file.read()
