"""``mlflow-dvc`` and ``dvc`` for shells: forks of a Python that has the libraries loaded."""

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
request = json.dumps([{module!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    server.sendmsg([len(request).to_bytes(8, "big")], fds)
    server.sendall(request)
    sys.exit(int(server.recv(16)))
"""
COMMANDS = {"mlflow-dvc": "mlflow_dvc_plugin.cli", "dvc": "dvc"}


@contextlib.contextmanager
def offer_commands() -> Iterator[str]:
    """A folder for PATH that has the commands."""
    # The address of a socket must be short.
    temporary = tempfile.TemporaryDirectory(prefix="docs-", dir="/tmp")
    with temporary as folder, socket.socket(socket.AF_UNIX) as own:
        address = os.path.join(folder, "socket")
        own.bind(address)
        own.listen()
        for name, module in COMMANDS.items():
            client = Path(folder, name)
            client.write_text(_CLIENT.format(python=sys.executable, module=module, address=address))
            client.chmod(0o755)
        threading.Thread(target=_serve, args=(own,), daemon=True).start()
        yield folder


def _serve(own: socket.socket) -> None:
    """Answer one command after the other, until the socket is closed."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = own.accept()
            with connection:
                head, fds, _, _ = socket.recv_fds(connection, 8, 3)
                data = b""
                while len(data) < int.from_bytes(head, "big"):
                    data += connection.recv(1 << 16)
                module, args, cwd, env = json.loads(data)
                done = forkserver.DVC.run("-m", module, *args, cwd=cwd, env=env, streams=fds)
                for fd in fds:
                    os.close(fd)
                connection.sendall(str(done.returncode).encode())
