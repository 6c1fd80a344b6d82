"""``mlflow-dvc show RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output, tables
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.derivation.backfill import DERIVED, SOURCE
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.tracking import find_run

_DERIVED = "from a Git commit after the fact: nobody observed that the run used this"


@click.command("show")
@click.argument("run")
@output.tracking_uri_option
@output.json_option
def command(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """The data that RUN was made from.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID.
    """
    with Bar():
        found = find_run(run, tracking_uri)
        state = load_state(found)
    if as_json:
        output.print_json(
            {
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
        )
        return
    console = tables.console()
    console.print(
        tables.facts(
            [
                ("run", f"{found.run_id}  {found.name}"),
                ("data hash", state.data_hash),
                ("inputs hash", state.inputs_hash),
                ("stage", state.stage),
                ("status", tables.status_text(state.status)),
                ("changed", ", ".join(state.modified)),
                ("Git commit", state.git_commit),
                ("project", None if state.root == "." else state.root),
                ("remote", state.remote),
                ("read from", f"the run's {state.source}"),
                ("derived", _DERIVED if found.tags.get(SOURCE) == DERIVED else None),
            ]
        )
    )
    console.print()
    tables.draw_entries(console, state.entries)
    console.print()
    console.print(f"Bring it back: mlflow-dvc restore {found.run_id}", markup=False)
