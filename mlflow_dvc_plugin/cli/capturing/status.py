"""``mlflow-dvc status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli import tables
from mlflow_dvc_plugin.cli.output import (
    common_options,
    format_count,
    format_size,
    print_line,
    print_result,
)
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.retention.readiness import Readiness


@click.command("status")
@common_options
def command(tracking_uri: str | None, as_json: bool) -> None:
    """Show what a run that starts here would record, and what is wrong.

    It shows the state, and all that would keep such a run from being restored.

    If MLFLOW_DVC_STATE names an exported file, its state is shown. Exits with 1
    outside a DVC project, or if the metafiles or that file cannot be read.
    """
    from mlflow_dvc_plugin.lineage.retention.readiness import assess_readiness

    with ProgressBar("Reading the project and its remote"):
        found = assess_readiness(tracking_uri)
    document = {
        "root": found.state.root,
        "tags": found.tags,
        "entries": [e.to_dict() for e in found.state.entries],
        "problems": found.problems,
    }
    if found.saves:
        document["saves"] = [
            {"path": path, "files": files, "size": size}
            for path, (files, size) in found.saves.items()
        ]
    print_result(document, as_json, lambda: _draw(found))


def _draw(found: Readiness) -> None:
    state = found.state
    tables.draw_facts(
        [
            ("project", state.project),
            ("exported state", found.file),
            ("data hash", state.data_hash),
            ("status", tables.to_status_cell(state.status)),
            ("modified", ", ".join(state.modified)),
            ("Git commit", state.git_commit),
            ("remote", state.remote),
            ("stage", state.stage),
        ]
    )
    if state.entries:
        tables.draw_entries(state.entries)
    for path, (files, size) in found.saves.items():
        print_line(f"A run would save {path}: {format_count(files, 'file')}, {format_size(size)}.")
    if found.problems:
        print_line("A run started now would be tagged, but:", "yellow")
        for problem in found.problems:
            print_line(f"  - {problem}")
    elif state.status == "unverified":
        print_line(
            "A run started now would be tagged. It could be restored if the workspace holds what "
            "the metafiles say: that was not verified within MLFLOW_DVC_STATUS_BUDGET_MS.",
            "yellow",
        )
    else:
        print_line("A run started now would be tagged, and could be restored.", "green")
