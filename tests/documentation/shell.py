"""``mlflow-dvc``, ``dvc`` and ``python FILE`` for shells: forks that have the libraries loaded."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests import forkserver

# Passes its streams and arguments on, and exits as the fork does.
_CLIENT = """\
#!{python} -IS
import array, json, os, socket, sys
request = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    server.sendmsg([len(request).to_bytes(8, "big")], fds)
    server.sendall(request)
    sys.exit(int(server.recv(16)))
"""
_PYTHON = """\
#!/bin/sh
case "$1" in
    *.py) exec {folder}/run-file "$@" ;;
    *) exec {python} "$@" ;;
esac
"""
_RUN_FILE = (
    "import os, runpy, sys\n"
    "sys.argv = sys.argv[1:]\n"
    "sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
)
# What each command is to a fork, and the server that forks: a command waits for what it starts.
_FILES = forkserver.ForkServer("mlflow", "mlflow.store.tracking.sqlalchemy_workspace_store")
_COMMANDS = {
    "mlflow-dvc": (forkserver.DVC, ("-m", "mlflow_dvc_plugin.cli")),
    "dvc": (forkserver.DVC, ("-m", "dvc")),
    "run-file": (_FILES, ("-c", _RUN_FILE)),
}


@contextlib.contextmanager
def offer_commands() -> Iterator[str]:
    """A folder for PATH that has the commands."""
    # The address of a socket must be short.
    temporary = tempfile.TemporaryDirectory(prefix="docs-", dir="/tmp")
    with temporary as folder, socket.socket(socket.AF_UNIX) as own:
        address = os.path.join(folder, "socket")
        own.bind(address)
        own.listen()
        programs = {
            name: _CLIENT.format(python=sys.executable, name=name, address=address)
            for name in _COMMANDS
        }
        programs["python"] = _PYTHON.format(python=sys.executable, folder=folder)
        for name, text in programs.items():
            Path(folder, name).write_text(text)
            Path(folder, name).chmod(0o755)
        threading.Thread(target=_serve, args=(own,), daemon=True).start()
        try:
            yield folder
        finally:
            _FILES.stop()


def _serve(own: socket.socket) -> None:
    """Answer until the socket is closed; each of the servers forks for one after the other."""
    locks = {server: threading.Lock() for server, _ in _COMMANDS.values()}
    with contextlib.suppress(OSError):
        while True:
            connection, _ = own.accept()
            threading.Thread(target=_answer, args=(connection, locks), daemon=True).start()


def _answer(connection: socket.socket, locks: dict[forkserver.ForkServer, threading.Lock]) -> None:
    with connection:
        head, fds, _, _ = socket.recv_fds(connection, 8, 3)
        data = b""
        while len(data) < int.from_bytes(head, "big"):
            data += connection.recv(1 << 16)
        name, args, cwd, env = json.loads(data)
        server, start = _COMMANDS[name]
        with locks[server]:
            done = server.run(*start, *args, cwd=cwd, env=env, streams=fds)
        for fd in fds:
            os.close(fd)
        connection.sendall(str(done.returncode).encode())
