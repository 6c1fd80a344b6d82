"""``mlflow-dvc export``."""

from __future__ import annotations

import contextlib
import os

import click

from mlflow_dvc_plugin.capturing.run_start import capture_run_start
from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.errors import NoProjectError, StateFileError
from mlflow_dvc_plugin.state import state_file as statefile


@click.command("export")
@click.option("--output", "-o", "path", metavar="FILE", help="Write into FILE, not on stdout.")
@output.tracking_uri_option
@output.json_option
def command(path: str | None, tracking_uri: str | None, as_json: bool) -> None:  # noqa: ARG001
    """Write the data state, for processes that run where the project is not.

    A container, a cluster worker or a job elsewhere that has the file, and its
    path in MLFLOW_DVC_STATE, tags its runs as if it ran here. It needs neither
    Git nor DVC nor the data's metafiles.
    """
    found = capture_run_start()
    if found is None:
        raise NoProjectError(
            f"{os.getcwd()} is in no DVC project, or MLFLOW_DVC_DISABLE is set: there is no state "
            "to export."
        )
    text = statefile.dumps(found.state)
    if path is None or as_json:
        click.echo(text, nl=False)
    if path is not None:
        _write(path, text)
        outs = output.count(len(found.state.entries), "out")
        click.echo(
            f"Wrote the state of {outs} to {path}. Use it with MLFLOW_DVC_STATE={path}.", err=True
        )


def _write(path: str, text: str) -> None:
    beside = f"{path}.mlflow-dvc-tmp"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError as err:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise StateFileError(path, f"it cannot be written ({err.strerror})") from err
