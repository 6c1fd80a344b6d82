"""Where a project's data is stored: its cache and how that is linked, and its remotes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from time import monotonic

from mlflow_dvc_plugin.diagnosis.store import TIME_LIMIT
from mlflow_dvc_plugin.dvc.cache import LINK_TYPES
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, join_some
from mlflow_dvc_plugin.lineage.listings import to_object
from mlflow_dvc_plugin.lineage.retention.storage_problems import (
    NO_REMOTE,
    NOT_PUSHED,
    RemoteAnswer,
    ask_remote,
)
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.tracking.background import start

_MOST_OUTS = 20  # that a remote is asked for; `status` asks for all
_SHOWN = 3
_EMPTY_FILE = Obj("md5", "d41d8cd98f00b204e9800998ecf8427e")


@dataclass(frozen=True)
class Remote:
    """A remote.

    Attributes:
        answers: None if it was not asked.
        note: why it was not.
        problems: why it did not answer, or what it lacks, a sentence each.
    """

    name: str
    scheme: str
    is_default: bool
    answers: bool | None
    note: str = ""
    problems: tuple[str, ...] = ()

    def find_problems(self) -> list[str]:
        """What keeps data from being restored, a sentence each."""
        return list(self.problems)

    def find_remarks(self) -> list[str]:
        """What is worth knowing, a sentence each."""
        return []


@dataclass(frozen=True)
class Cache:
    """The cache of a project.

    Attributes:
        exists: it was made already.
        file_system: what its disk is formatted with, such as ``ext4``; empty if unknown.
        free: bytes on that disk.
        links: which link types really work from the cache into the workspace.
        types: those that the project uses, the preferred one first.
    """

    folder: str
    exists: bool
    file_system: str
    free: int
    links: dict[str, bool]
    types: tuple[str, ...]

    @property
    def used(self) -> str | None:
        """The link type that is used: the first that works; None without one."""
        return next((kind for kind in self.types if self.links[kind]), None)

    def find_problems(self) -> list[str]:
        """What keeps data from being restored, a sentence each."""
        if self.used:
            return []
        problem = (
            f"None of the project's link types ({', '.join(self.types)}) works from {self.folder} "
            "into the workspace. Set another one with `dvc config cache.type`."
        )
        return [problem]

    def find_remarks(self) -> list[str]:
        """What is worth knowing, a sentence each."""
        return []


class StorageQuestion:
    """A project's cache, and its remotes, which are asked in the background."""

    def __init__(self, root: str, entries: Sequence[Entry]) -> None:
        try:
            self._dvc = dvc = DvcProject(root)
        except (DvcError, OSError) as err:
            raise DvcError(
                f"DVC cannot open the project: {str(err).rstrip('.')}. `dvc config --list` reports "
                "the same: correct .dvc/config or .dvc/config.local."
            ) from err
        self.secrets = dvc.remotes.list_secrets()
        self._default = dvc.remotes.find_default()
        self._schemes = dvc.remotes.list_schemes()
        self._versioned = {each for each in self._schemes if dvc.storage.is_versioned(each)}
        stored = [e for e in entries if e.kind == "plain" and e.push and e.cached and e.hash]
        wanted: dict[str, dict[str, Obj]] = {self._default: {}} if self._default else {}
        self._problems = []
        for e in stored:
            name = e.remote.lower() if e.remote else self._default
            if name:
                wanted.setdefault(name, {})[e.path] = to_object(e)
            else:
                self._problems = [NO_REMOTE]
        for scheme in {self._schemes.get(name, "local") for name in wanted}:
            dvc.remotes.import_file_system(scheme)
        self._answers = {
            name: start(partial(ask_remote, dvc, name, _choose(objs)))
            for name, objs in wanted.items()
            if name not in self._versioned
        }

    def find_problems(self) -> list[str]:
        """What keeps data from being restored, whatever the remotes answer."""
        return self._problems

    def examine_cache(self) -> Cache:
        """Look at the cache, and try each link type between it and the project's ``.dvc/tmp``."""
        cache = self._dvc.cache
        parent = cache.folder
        while not os.path.isdir(parent):
            parent = os.path.dirname(parent)
        working = cache.test_link_types(self._dvc.tmp_dir)
        return Cache(
            folder=cache.folder,
            exists=parent == cache.folder,
            file_system=_find_file_system(parent),
            free=shutil.disk_usage(parent).free,
            links={kind: kind in working for kind in LINK_TYPES},
            types=tuple(cache.types),
        )

    def collect(self, deadline: float) -> tuple[Remote, ...]:
        """Wait for the answers of the remotes, until `deadline` of the monotonic clock."""
        names = sorted({*self._schemes, *self._answers})
        return tuple(self._collect(name, deadline) for name in names)

    def _collect(self, name: str, deadline: float) -> Remote:
        scheme = self._schemes.get(name, "not configured")
        remote = Remote(name, scheme, name == self._default, None, "no data here needs it")
        if name in self._versioned:
            return replace(remote, note="it is cloud-versioned")
        if name not in self._answers:
            return remote
        try:
            answer = self._answers[name].result(max(0, deadline - monotonic()))
        except FutureTimeoutError:
            answer = RemoteAnswer(
                problem=f"The DVC remote {name} did not answer within {TIME_LIMIT} s. Check the "
                "network, and its address with `dvc remote list`."
            )
        problems = [answer.problem] if answer.problem else []
        absent = sorted(answer.absent - {""})
        if absent:
            problems.append(NOT_PUSHED.format(join_some(absent, _SHOWN)))
        return replace(remote, answers=not answer.problem, note="", problems=tuple(problems))


def _choose(objs: Mapping[str, Obj]) -> dict[str, Obj]:
    """Some of the objects, by path: a remote without data is asked for one that nobody needs."""
    return dict(islice(objs.items(), _MOST_OUTS)) or {"": _EMPTY_FILE}


def _find_file_system(folder: str) -> str:
    import psutil

    kinds = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    path = os.path.realpath(folder)
    while path not in kinds and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return str(kinds.get(path, ""))
