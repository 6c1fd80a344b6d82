"""The comparison of restored files with a copy, byte for byte."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from mlflow_dvc_plugin.demo.shell import DemoError


class IdenticalFile(NamedTuple):
    """A file that was found identical to its copy."""

    path: str
    size: int
    md5: str


def list_data(project: str) -> list[str]:
    """The files below ``data/`` that DVC tracks, relative to the project, sorted."""
    return sorted(
        os.path.relpath(os.path.join(folder, name), project).replace(os.sep, "/")
        for folder, _, names in os.walk(os.path.join(project, "data"))
        for name in names
        if name != ".gitignore" and not name.endswith(".dvc")
    )


def copy_data(project: str, copy: str) -> None:
    """Copy the project's data to a folder that DVC does not know."""
    for path in list_data(project):
        target = os.path.join(copy, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(project, path), target)


def compare_data(project: str, copy: str) -> list[IdenticalFile]:
    """Compare the project's data with its copy; raise DemoError if it differs."""
    copied, restored = list_data(copy), list_data(project)
    if copied != restored:
        raise DemoError(
            f"The first run had the files {', '.join(copied)}, but the project has "
            f"{', '.join(restored) or 'none'}. Please report this with the output above."
        )
    identical = []
    for path in copied:
        after = Path(project, path).read_bytes()
        if after != Path(copy, path).read_bytes():
            raise DemoError(
                f"{path} differs from the file that the first run used. "
                "Please report this with the output above."
            )
        identical.append(IdenticalFile(path, len(after), hashlib.md5(after).hexdigest()))
    return identical
