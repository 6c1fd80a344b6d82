"""``mlflow-dvc export``."""

from __future__ import annotations

import os

import click

from mlflow_dvc_plugin.cli.output import common_options, format_count, print_note, write_file
from mlflow_dvc_plugin.errors import NoProjectError


@click.command("export")
@click.option("--output", "-o", "path", metavar="FILE", help="Write to FILE instead of stdout.")
@common_options
def command(path: str | None, tracking_uri: str | None, as_json: bool) -> None:  # noqa: ARG001
    """Write the data state to a file, for runs outside the project.

    A container, a cluster worker or a remote job that has the file, and its path
    in MLFLOW_DVC_STATE, tags its runs as if it ran here. It needs neither Git nor
    DVC nor the metafiles.

    With MLFLOW_DVC_SAVE, data that differs from its metafiles is saved now, as it would be
    when a run starts here.
    """
    from mlflow_dvc_plugin.capturing.run_start import capture_run_start
    from mlflow_dvc_plugin.state.state_file import dumps

    found = capture_run_start(save=True)
    if found is None:
        raise NoProjectError(
            f"There is no state to export: {os.getcwd()} is not in a DVC project, or "
            "MLFLOW_DVC_DISABLE is set."
        )
    text = dumps(found.state)
    if path is None or as_json:
        click.echo(text, nl=False)
    if path is not None:
        write_file(path, text.encode())
        outs = format_count(len(found.state.entries), "out")
        print_note(f"Wrote the state of {outs} to {path}. Set MLFLOW_DVC_STATE={path} to use it.")
    if found.state.status in ("modified", "missing"):
        print_note(
            f"The status is `{found.state.status}`: the workspace does not hold what the metafiles "
            "say, and runs with this state will say so. `dvc status` shows where."
        )
