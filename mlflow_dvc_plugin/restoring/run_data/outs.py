"""Select the outs of a run that a restore brings back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_dvc_plugin.errors import RestoreError, join_some
from mlflow_dvc_plugin.restoring.files.paths import is_external, is_within
from mlflow_dvc_plugin.restoring.run_data.forgotten_data import ForgottenData
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.forgotten_tag import read_forgotten
from mlflow_dvc_plugin.tracking import Run


@dataclass(frozen=True)
class Selection:
    """The outs of a run that a restore brings back.

    Attributes:
        whole: all outs of the run are selected.
        data: the outs that DVC caches.
        git_outs: the outs that it leaves to Git (``cache: false``).
        skipped: the outs that cannot be restored, each with the reason.
        forgotten: what was deleted of the run on purpose.
    """

    run_id: str
    state: DataState
    whole: bool
    data: tuple[Entry, ...]
    git_outs: tuple[Entry, ...]
    skipped: tuple[str, ...]
    forgotten: ForgottenData


def select_outs(run: Run, state: DataState, paths: Sequence[str] | None) -> Selection:
    """Select the outs at or below `paths`, relative to the project; None for all."""
    for path in paths or ():
        if path != "." and not any(is_within(e.path, path) for e in state.entries):
            raise RestoreError(_explain_unknown(path, state.entries))
    skipped = []
    entries = []
    for e in state.entries:
        if paths is not None and not any(p == "." or is_within(e.path, p) for p in paths):
            continue
        if not e.hash:
            skipped.append(f"{_to_printable(e.path)}: it did not exist yet")
        elif is_external(e.path):
            skipped.append(f"{_to_printable(e.path)}: it is outside the project")
        else:
            entries.append(e)
    return Selection(
        run.run_id,
        state,
        whole=paths is None,
        data=tuple(e for e in entries if e.cached),
        git_outs=tuple(e for e in entries if not e.cached),
        skipped=tuple(skipped),
        forgotten=ForgottenData(read_forgotten(run.tags), state.entries),
    )


def _explain_unknown(path: str, entries: Sequence[Entry]) -> str:
    owner = next((e.path for e in entries if is_within(path, e.path)), None)
    if owner is not None:
        return f"{path} is inside {owner}, which DVC tracks as one out. Restore {owner} instead."
    known = join_some([_to_printable(e.path) for e in entries], 10) or "none"
    return f"The run has no data at {path!r}. Its paths are: {known}."


def _to_printable(path: str) -> str:
    return path if path.isprintable() else ascii(path)
