"""A DVC project, opened by DVC itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.dvc import hashing
from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.database import Database
from mlflow_dvc_plugin.dvc.errors import describe_error
from mlflow_dvc_plugin.dvc.links import Links
from mlflow_dvc_plugin.dvc.locks import lock_project
from mlflow_dvc_plugin.dvc.transfer.outs import Outs
from mlflow_dvc_plugin.dvc.transfer.remotes import Remotes
from mlflow_dvc_plugin.dvc.transfer.sources import Sources
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.git import find_git


class DvcProject:
    """A DVC project, opened by DVC itself.

    Args:
        root: absolute path of the project.

    Attributes:
        root: absolute path of the project.
        tmp_dir: the folder for temporary files, ``.dvc/tmp``.
        database: the hashes of files that DVC remembers.
        cache: the objects on this machine.
        remotes: the objects elsewhere.
        outs: what DVC itself makes of an out's metafile.
        sources: the places that imports and cloud-versioned outs come from.
        links: how files get from the cache into the workspace.

    Raises:
        DvcError: DVC cannot open it.
    """

    def __init__(self, root: str) -> None:
        # A folder with only a copied .dvc/config says "Git", and has none.
        config = None if find_git(os.path.abspath(root)) else {"core": {"no_scm": True}}
        try:
            self._repo = Repo(root, config=config)
        except DvcException as err:
            raise DvcError(describe_error(err)) from err
        self.root: str = self._repo.root_dir
        self.tmp_dir: str = str(self._repo.tmp_dir)
        self.database = Database(self._repo)
        self.cache = Cache(self._repo, self.database)
        self.remotes = Remotes(self._repo, self.cache)
        self.outs = Outs(self._repo, self.cache)
        self.sources = Sources(self._repo, self.outs)
        self.links = Links(self._repo)

    def close(self) -> None:
        """Close DVC's databases."""
        self._repo.close()

    def lock(self, paths: Sequence[str]) -> AbstractContextManager[None]:
        """Keep other DVC commands out, and away from `paths` (absolute).

        Raises:
            ProjectBusyError: another DVC command is at work; DVC's own waiting
                time has passed.
        """
        return lock_project(self._repo, paths)

    def hash_file(self, path: str, hash_name: str) -> str:
        """The hash of a file's bytes, without ``.dir``.

        Raises:
            DvcError: this kind of hash cannot be computed from a file.
            OSError: the file cannot be read.
        """
        return hashing.hash_file(path, hash_name)

    def list_files(self, folder: str) -> Iterator[str]:
        """Absolute paths of the files in a folder, without what ``.dvcignore`` leaves out."""
        for root, _, files in self._repo.dvcignore.walk(localfs, folder):
            for name in files:
                yield f"{root}{os.sep}{name}"
