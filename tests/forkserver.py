"""Python commands in forks of a Python that has the libraries loaded: no second goes on imports."""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_FDS = 3  # stdin, stdout and stderr of a command; the first may be left out
_SIZE = 8  # bytes of a number on the wire


class ForkServer:
    """A Python that has imported some modules, and forks for each command.

    A command has memory, environment, working directory and streams of its own, as in
    a new process. What it cannot show is what the import of those modules does.

    Args:
        modules: what is imported before the first command; what is not found is left out.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._server: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def run(
        self,
        *args: str,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdout: int | None = None,
        streams: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m MODULE …`` or ``python -c CODE …``.

        Args:
            args: what follows `python`.
            cwd: where to run it; here by default.
            env: its whole environment; this process's by default.
            stdout: a file descriptor; by default, the output is in the result.
            streams: the file descriptors of stdin, stdout and stderr, instead of all of that.
        """
        if not hasattr(os, "fork"):
            return subprocess.run(
                [sys.executable, *args],
                cwd=cwd,
                env=None if env is None else dict(env),
                stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        _, connection = self._server or self._start()
        request = {"args": args, "cwd": str(cwd or os.getcwd()), "env": dict(env or os.environ)}
        data = json.dumps(request).encode()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                own = [out.fileno() if stdout is None else stdout, err.fileno()]
                fds = array.array("i", streams or own)
                size = len(data).to_bytes(_SIZE, "big")
                connection.sendmsg([size], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
                connection.sendall(data)
                code = int.from_bytes(_receive(connection, _SIZE), "big", signed=True)
            except BaseException:
                self.stop()
                raise
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        return subprocess.CompletedProcess(list(args), code, *texts)

    def stop(self) -> None:
        if self._server:
            process, connection = self._server
            connection.close()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._server = None

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno()), *self._modules]
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._server = process, ours
        return self._server


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("the other end is gone")
        data += more
    return data


def _serve(connection: socket.socket) -> None:
    while True:
        head, fds, _, _ = socket.recv_fds(connection, _SIZE, _FDS)
        if not head:
            return
        request = json.loads(_receive(connection, int.from_bytes(head, "big")))
        pid = os.fork()
        if pid == 0:
            connection.close()
            _become(request, fds)
        for fd in fds:
            os.close(fd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(code.to_bytes(_SIZE, "big", signed=True))


def _become(request: dict[str, Any], fds: list[int]) -> None:
    """Run the command in this process, and end it."""
    for number, fd in enumerate(fds, start=_FDS - len(fds)):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    tempfile.tempdir = None
    code = 1
    try:
        _execute(*request["args"])
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        else:
            code = end.code or 0
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        traceback.print_exc()
        code = 120  # as Python's own end has it
    os._exit(code)


def _execute(option: str, target: str, *args: str) -> None:
    sys.argv = [option, *args]
    if option == "-m":
        sys.path[0] = os.getcwd()
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        assert option == "-c"
        sys.path[0] = ""
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(target, main.__dict__)


def write_without_sync() -> None:
    """Keep the databases of DVC and MLflow from waiting for the disk at each small write.

    What is written is the same, but for a machine that loses power.
    """
    try:
        import diskcache
        from sqlalchemy import Engine, event
    except ImportError:  # neither DVC nor the full MLflow is here
        return

    diskcache.core.DEFAULT_SETTINGS["sqlite_synchronous"] = 0

    def connected(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", connected)


# What DVC's commands and ours import. Our own modules are not among it: each command
# imports them as they are now.
DVC = ForkServer(
    *("dvc.cli.parser", "dvc.repo.index", "dvc.repo.graph", "dvc.repo.plots", "dvc.repo.datasets"),
    *("dvc.repo.artifacts", "dvc.repo.metrics", "dvc.data_cloud", "dvc.cachemgr", "dvc.rwlock"),
    *("dvc.repo.open_repo", "dvc.repo.params", "dvc.repo.stage", "dvc.repo.experiments.show"),
    *("dvc.utils.strictyaml", "dvc_data.hashfile.db.local", "fsspec.implementations.memory"),
    *("configobj", "dulwich.ignore", "networkx", "ruamel.yaml", "scmrepo.git", "rich.table"),
    *("mlflow", "mlflow.store.tracking.sqlalchemy_workspace_store"),
)
# What a training script has imported when it starts a run; not DVC.
MLFLOW = ForkServer("mlflow", "mlflow.store.tracking.sqlalchemy_workspace_store")


if __name__ == "__main__":
    sys.path[0] = ""
    for name in sys.argv[2:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    write_without_sync()
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()  # a fork's collections leave what all share alone
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        _serve(connection)
