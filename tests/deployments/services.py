"""Real services on the loopback interface: PostgreSQL, S3 and MLflow with accounts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PASSWORD = "correct-horse-battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(900):
        if ready():
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            urllib.request.urlopen(url, timeout=1)
        except OSError:
            return False
        return True

    return ready


@contextlib.contextmanager
def running(
    command: list[str], log: Path, ready: Callable[[], bool], env: Mapping[str, str] | None = None
) -> Iterator[None]:
    """A process that is ready, and is stopped with all that it started."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            cwd=log.parent,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        wait_for(ready, process, log)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def postgres_binaries() -> Path | None:
    """Where the newest PostgreSQL server is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A new PostgreSQL cluster; the SQLAlchemy URI of its database."""
    binaries = postgres_binaries()
    assert binaries is not None
    # PostgreSQL refuses to run as root, whose folders nobody else may enter.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="mlflow-dvc-pg-", dir="/tmp"))
    if user:
        shutil.chown(folder, user)
    port = free_port()
    try:
        data = folder / "data"

        def control(*command: str | Path) -> None:
            with (folder / "out").open("ab") as out:
                subprocess.run(command, check=True, cwd=folder, user=user, stdout=out, stderr=out)

        server = (binaries / "pg_ctl", "-D", data, "-w")
        control(binaries / "initdb", "-D", data, "-A", "trust", "-U", "mlflow")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        control(*server, "-o", options, "-l", folder / "log", "start")
        try:
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
        finally:
            control(*server, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[str]:
    """An S3 server; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, folder / "s3.log", answers(f"{url}/moto-api/")):
        yield url


@contextlib.contextmanager
def mlflow_with_accounts(folder: Path, backend: str, env: Mapping[str, str]) -> Iterator[str]:
    """An MLflow server that asks for a password, with artifacts in S3; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = folder / "auth.ini"
    config.write_text(
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "admin_username = admin\n"
        f"admin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--app-name", "basic-auth", "--backend-store-uri", backend, "--workers", "1"),
        *("--artifacts-destination", "s3://artifacts"),
    ]
    environ = {
        **env,
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-tests-only",
        # Nothing here asks the server for jobs, and their runner takes long to start.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with running(command, folder / "mlflow.log", answers(f"{url}/health"), environ):
        yield url
