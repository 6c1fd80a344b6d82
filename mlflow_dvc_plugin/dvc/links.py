"""How files get from the cache into the workspace."""

from __future__ import annotations

import os
from typing import Any

from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs
from dvc_objects.fs.utils import tmp_fname

from mlflow_dvc_plugin.errors import DvcError


class Links:
    """The kinds of links that a project uses.

    Args:
        repo: the project, as DVC opened it.

    Attributes:
        types: how files get from the cache into the workspace, the preferred
            way first.
    """

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self.types: list[str] = list(repo.cache.local.cache_types)

    def find_usable_types(self, folder: str, linked: bool = True) -> list[str]:
        """Those of the project's link types that work from the cache into `folder`.

        Args:
            folder: absolute path.
            linked: files may be one with the cache's; False for true copies alone.

        Raises:
            DvcError: none does.
        """
        cache = self._repo.cache.local
        os.makedirs(cache.path, exist_ok=True)
        probe = os.path.join(folder, tmp_fname())
        types = self.types if linked else ["reflink", "copy"]
        try:
            found = generic.test_links(types, cache.fs, cache.path, localfs, probe)
        except OSError:
            # A cache that is only for reading: what does not work is found when it is used.
            found = types
        if not found:
            raise DvcError(
                f"None of the project's link types ({', '.join(self.types)}) works here: "
                "see `dvc config cache.type`."
            )
        return list(found)

    def create_link(self, kind: str, source: str, target: str) -> None:
        """Make `target` a reflink, hardlink or symlink of `source`.

        Raises:
            OSError: the file system cannot.
        """
        getattr(localfs, kind)(source, target)
