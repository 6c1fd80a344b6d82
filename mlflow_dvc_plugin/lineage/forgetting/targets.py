"""The objects that are to be forgotten, by hash."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlflow_dvc_plugin.dvc.hashing import HASH_NAMES, hash_file
from mlflow_dvc_plugin.errors import LineageError
from mlflow_dvc_plugin.lineage.search.content import hash_paths
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


class Targets(NamedTuple):
    """Hashes of objects. Without ``.dir``, a hash is that of a file or of a folder's listing."""

    hashes: tuple[str, ...]

    def has(self, value: str) -> bool:
        """Is an object with this hash, as DVC writes it, to be forgotten?"""
        return value in self.hashes or value.removesuffix(DIR_SUFFIX) in self.hashes

    def list_objects(self) -> list[Obj]:
        """All objects that can have one of the hashes, also in the part of DVC 2."""
        values = dict.fromkeys(self.hashes)
        values.update({f"{v}{DIR_SUFFIX}": None for v in self.hashes if not v.endswith(DIR_SUFFIX)})
        return [Obj(name, value) for value in values for name in HASH_NAMES]


def parse_targets(texts: Iterable[str]) -> Targets:
    """The objects with the hashes that a user wrote: whole ones, with or without ``.dir``."""
    hashes = tuple(dict.fromkeys(text.lower() for text in texts))
    for value in hashes:
        if not _HASH.fullmatch(value):
            raise LineageError(
                f"{value[:80]!r} is not a whole MD5 hash, which has 32 digits from 0 to f, and "
                "perhaps .dir after them. A part of a hash could be that of other data, too. "
                "`mlflow-dvc show RUN` shows the hashes of a run's data."
            )
    if not hashes:
        raise LineageError("There is no hash to forget. Name one with --hash, or name a file.")
    return Targets(hashes)


def find_hashes(paths: Sequence[str], progress: Progress) -> list[str]:
    """The hashes that DVC gives to files and folders of the disk, and DVC 2 gave to files."""
    hashes = []
    for path, value in hash_paths(paths, progress).items():
        hashes.append(value)
        if os.path.isfile(path):
            hashes += [hash_file(path, name) for name in HASH_NAMES[1:]]
    return hashes
