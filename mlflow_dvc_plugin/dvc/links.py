"""Link types: how files get from the cache into the workspace."""

from __future__ import annotations

import os
from typing import Any

from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs
from dvc_objects.fs.utils import tmp_fname

from mlflow_dvc_plugin.errors import DvcError


class Links:
    """The link types of a project (``cache.type``), the preferred one first."""

    def __init__(self, repo: Any) -> None:
        self._cache = repo.cache.local

    def find_usable_types(self, folder: str, linked: bool = True) -> list[str]:
        """Find the link types that work into a folder; true copies if not `linked`."""
        cache = self._cache
        os.makedirs(cache.path, exist_ok=True)
        probe = os.path.join(folder, tmp_fname())
        types = list(cache.cache_types) if linked else ["reflink", "copy"]
        try:
            found = generic.test_links(types, cache.fs, cache.path, localfs, probe)
        except OSError:
            # The cache is read-only: a link type that does not work is found when it is used.
            found = types
        if not found:
            raise DvcError(
                f"None of the project's link types ({', '.join(types)}) works here. Set another "
                "one with `dvc config cache.type`."
            )
        return list(found)

    def create_link(self, kind: str, source: str, target: str) -> None:
        """Make `target` a reflink, hardlink or symlink of `source`."""
        getattr(localfs, kind)(source, target)
