"""``mlflow-dvc status``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output, tables
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.retention.readiness import Readiness, assess


@click.command("status")
@output.tracking_uri_option
@output.json_option
def command(tracking_uri: str | None, as_json: bool) -> None:  # noqa: ARG001
    """What a run started here would be tagged with, and could it be restored?

    Where MLFLOW_DVC_STATE names an exported file, that is its state. Exits with 1
    outside a DVC project, or if its metafiles or that file cannot be read.
    """
    with Bar("Looking at the project and its remote"):
        found = assess()
    if as_json:
        output.print_json(
            {
                "root": found.state.root,
                "tags": found.tags,
                "entries": [e.to_dict() for e in found.state.entries],
                "problems": found.problems,
            }
        )
        return
    _draw(found)


def _draw(found: Readiness) -> None:
    state, console = found.state, tables.console()
    console.print(
        tables.facts(
            [
                ("project", state.project),
                ("exported state", found.file),
                ("data hash", state.data_hash),
                ("status", tables.status_text(state.status)),
                ("changed", ", ".join(state.modified)),
                ("Git commit", state.git_commit),
                ("remote", state.remote),
                ("stage", state.stage),
            ]
        )
    )
    console.print()
    if state.entries:
        tables.draw_entries(console, state.entries)
    else:
        console.print("DVC tracks nothing here yet: `dvc add` something.")
    console.print()
    if found.problems:
        console.print("A run started now would be tagged, but:", style="yellow")
        for problem in found.problems:
            console.print(f"  - {problem}", markup=False)
    else:
        console.print("A run started now would be tagged, and could be restored.", style="green")
