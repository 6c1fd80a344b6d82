"""The data of a run, looked at again when the run ends."""

from __future__ import annotations

import os

from mlflow_dvc_plugin.capturing.dvc_config import load_config
from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.workspace.expected_outs import ExpectedOuts
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts, judge_status
from mlflow_dvc_plugin.state import DataState, Entry, Status
from mlflow_dvc_plugin.state.tags import MAX_MODIFIED


class RunData:
    """What a run started on: in a stage the stage's inputs, else all outs."""

    def __init__(self, state: DataState, budget_ms: int) -> None:
        entries = [e for e in state.entries if e.input or state.stage is None]
        self._state = state
        self._budget_ms = budget_ms
        self._expected = ExpectedOuts([_to_out(state.project, e) for e in entries])
        self._present = self._find_present()

    def look_again(self) -> tuple[Status, tuple[str, ...]]:
        """The status now, and the paths that are proven to hold something else than at the start.

        Of what was modified at the start and not saved, it is not known what it was.
        """
        state = self._state
        forget_folder_verdicts()  # they may stand for some seconds after a change
        config = load_config(state.project)
        status, different = judge_status(state.project, self._expected, config, self._budget_ms)
        unknown = set(state.modified) if state.status == "modified" else set()
        if len(unknown) >= MAX_MODIFIED:  # a tag names no more
            different = ()
        changed = {*different, *(self._present - self._find_present())} - unknown
        if status == "clean" and state.status == "saved":
            status = "saved"
        return status, tuple(sorted(changed))

    def _find_present(self) -> set[str]:
        outs = self._expected.outs
        found = (outs[position] for position in self._expected.find_candidates(lambda: False))
        return {out.entry.path for out in found if out.local and os.path.exists(out.path)}


def _to_out(project: str, entry: Entry) -> Out:
    is_local = not entry.path.startswith(("/", "../")) and "://" not in entry.path
    path = f"{project}{os.sep}{entry.path.replace('/', os.sep)}" if is_local else entry.path
    return Out(entry, path, is_local)
