"""A DVC project, opened by DVC."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.database import Database
from mlflow_dvc_plugin.dvc.errors import describe_error
from mlflow_dvc_plugin.dvc.hashing import hash_file
from mlflow_dvc_plugin.dvc.locks import lock_project
from mlflow_dvc_plugin.dvc.stages import read_stage, read_upstream
from mlflow_dvc_plugin.dvc.storage import Storage
from mlflow_dvc_plugin.dvc.transfer.objects import Objects
from mlflow_dvc_plugin.dvc.transfer.outs import Outs
from mlflow_dvc_plugin.dvc.transfer.remotes import Remotes
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.git import find_git


class DvcProject:
    """A DVC project, opened by DVC.

    `config` is what :func:`~mlflow_dvc_plugin.dvc.remote_config.build_config` built, for a
    project that has no metafiles and is only there to reach a remote.
    """

    hash_file = staticmethod(hash_file)

    def __init__(self, root: str, config: Mapping[str, Any] | None = None) -> None:
        # A folder that has only a copied .dvc/config says that it uses Git, but has none.
        has_config = config is not None
        if not has_config and not find_git(os.path.abspath(root)):
            config = {"core": {"no_scm": True}}
        try:
            self._repo = Repo(root, config=config)
        except DvcException as err:
            raise DvcError(describe_error(err)) from err
        self.has_metafiles = not has_config
        self.root: str = self._repo.root_dir
        self.tmp_dir: str = str(self._repo.tmp_dir)
        self.database = Database(self._repo)
        self.cache = Cache(self._repo, self.database)
        self.remotes = Remotes(self._repo, self.cache)
        self.objects = Objects(self._repo, self.cache, self.remotes)
        self.outs = Outs(self._repo, self.cache)
        self.storage = Storage(self._repo)
        self.lock = partial(lock_project, self._repo)
        self.read_stage = partial(read_stage, self._repo)
        self.read_upstream = partial(read_upstream, self._repo)

    def delete_folder(self) -> None:
        """Delete the project's folder, of which reading objects needs nothing any more."""
        # DVC asks for this index when it opens a remote.
        self._repo.data_index  # noqa: B018
        shutil.rmtree(self.root, ignore_errors=True)

    def close(self) -> None:
        """Close DVC's databases."""
        self._repo.close()

    def delete_databases(self) -> None:
        """Close and delete DVC's databases of a project that will be gone: they are elsewhere."""
        self.close()
        shutil.rmtree(self._repo.site_cache_dir, ignore_errors=True)

    def list_files(self, folder: str) -> Iterator[str]:
        """List the absolute paths of the files in a folder that ``.dvcignore`` does not exclude."""
        for root, _, files in self._repo.dvcignore.walk(localfs, folder):
            for name in files:
                yield f"{root}{os.sep}{name}"
