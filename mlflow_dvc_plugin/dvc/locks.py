"""Lock a project: keep other DVC commands out, and respect the files of running stages."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
from dvc.lock import LockError
from dvc.repo import lock_repo
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.errors import ProjectBusyError


@contextlib.contextmanager
def lock_project(repo: Any, paths: Sequence[str]) -> Iterator[None]:
    """Lock a project, and refuse absolute paths that a running stage uses.

    Raises:
        ProjectBusyError: another DVC command is at work, and did not end
            within DVC's own waiting time.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_repo(repo))
        except LockError as err:
            raise ProjectBusyError(
                f"Another DVC command{_describe_owner(repo.tmp_dir)} is at work in this project. "
                "Run this command again when it has ended."
            ) from err
        _check_running_stages(repo, paths)
        yield


def _check_running_stages(repo: Any, paths: Sequence[str]) -> None:
    """Refuse paths that a running stage reads or writes: DVC holds no lock meanwhile.

    DVC's record of these paths is only read. Writing it would leave half a
    record if this process were killed, and DVC could not go on.
    """
    try:
        with open(os.path.join(repo.tmp_dir, "rwlock"), encoding="utf-8") as file:
            record = json.load(file)
        uses = [(path, [info]) for path, info in record.get("write", {}).items()]
        uses += list(record.get("read", {}).items())
        running = [
            (path, info)
            for path, infos in uses
            for info in infos
            if psutil.pid_exists(int(info["pid"])) and int(info["pid"]) != os.getpid()
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return
    for used, info in running:
        for path in paths:
            if localfs.overlaps(path, used):
                raise ProjectBusyError(
                    f"{os.path.relpath(path, repo.root_dir)} is in use by process {info['pid']} "
                    f"({info.get('cmd', 'dvc')}). Run this command again when it has ended."
                )


def _describe_owner(tmp_dir: str) -> str:
    try:
        with open(os.path.join(tmp_dir, "lock")) as file:
            pid = int(file.read().split()[0])
        command = " ".join(psutil.Process(pid).cmdline())
    except (OSError, ValueError, IndexError, psutil.Error):
        return ""
    return f" (process {pid}: {command[:100]})"
