"""``mlflow-dvc show RUN``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from mlflow_dvc_plugin.cli import tables
from mlflow_dvc_plugin.cli.output import common_options, print_line, print_result
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from mlflow_dvc_plugin.state import DataState
    from mlflow_dvc_plugin.tracking import Run

_DERIVED = "from a Git commit, after the run: nobody observed that the run used this data"


@click.command("show")
@click.argument("run")
@common_options
def command(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Show the data that RUN recorded.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID.
    """
    from mlflow_dvc_plugin.restoring.run_data.state import load_state
    from mlflow_dvc_plugin.tracking import find_run

    with ProgressBar():
        found = find_run(run, tracking_uri)
        state = load_state(found)
    document: dict[str, Any] = {
        "run_id": found.run_id,
        "root": state.root,
        "data_hash": state.data_hash,
        "lock_hash": state.lock_hash,
        "git_commit": state.git_commit,
        "stage": state.stage,
        "inputs_hash": state.inputs_hash,
        "status": state.status,
        "remote": state.remote,
        "source": state.source,
        "entries": [e.to_dict() for e in state.entries],
    }
    if state.program is not None:
        document["command"] = list(state.program.args)
        document["code_status"] = _find_code_status(found, state)
    if found.changed:
        document["changed"] = list(found.changed)
    if found.model is not None:
        document["model"] = found.model.to_dict()
    print_result(document, as_json, lambda: _draw(found, state))


def _draw(run: Run, state: DataState) -> None:
    from mlflow_dvc_plugin.lineage.derivation.backfill import DERIVED, SOURCE

    modified = ", ".join(state.modified)
    saved = ", ".join(run.saved)
    args = state.program.args if state.program is not None else ()
    tables.draw_facts(
        [
            ("model", None if run.model is None else str(run.model)),
            ("run", f"{run.run_id}  {run.name}"),
            ("data hash", state.data_hash),
            ("inputs hash", state.inputs_hash),
            ("stage", state.stage),
            ("status", tables.to_status_cell(state.status)),
            ("modified", modified),
            ("saved", saved),
            ("changed", ", ".join(run.changed)),
            ("Git commit", state.git_commit),
            ("code", _find_code_status(run, state)),
            ("command", shlex.join(args)),
            ("project", None if state.root == "." else state.root),
            ("remote", state.remote),
            ("read from", f"the run's {state.source}"),
            ("derived", _DERIVED if run.tags.get(SOURCE) == DERIVED else None),
        ]
    )
    if not state.entries:
        print_line("The run recorded no data.")
        return
    tables.draw_entries(state.entries)
    if state.status == "modified":
        print_line(
            f"The run started on modified data that was not recorded: {modified}. A restore brings "
            "back what the metafiles said.",
            "yellow",
        )
    if run.changed:
        print_line(
            f"While the run was running, data changed: {', '.join(run.changed)}. It may have read "
            "something else there. A restore brings back what was there at the start.",
            "yellow",
        )
    print_line(f"Restore it with: mlflow-dvc restore {run.run_id}")


def _find_code_status(run: Run, state: DataState) -> str | None:
    """Whether the code was as the commit has it; the tag may say more than the manifest."""
    from mlflow_dvc_plugin.state.tags import CODE_STATUS

    known = state.program.code if state.program is not None else None
    return run.tags.get(CODE_STATUS, known)
