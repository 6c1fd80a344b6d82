"""What a rerun will do: which commands of which commit, on which data."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_dvc_plugin.capturing.commit_state import read_commit_state, write_commit_files
from mlflow_dvc_plugin.dvc.stages import StageRecord
from mlflow_dvc_plugin.errors import DvcError, GitError, RerunError, join_some
from mlflow_dvc_plugin.git import is_commit, resolve_commit, run_git
from mlflow_dvc_plugin.restoring.project import check_no_stage, find_root, open_project
from mlflow_dvc_plugin.restoring.run_data.outs import Selection, select_outs
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.tracking import Run, find_run

_EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_SHOWN = 10


@dataclass(frozen=True)
class Plan:
    """What a rerun will do.

    Attributes:
        root: the project's folder.
        commit: the commit whose code runs.
        subject: the first line of its message.
        stage: the stage's address; None outside a stage.
        command: what to run outside a stage.
        record: the stage, as the commit's ``dvc.yaml`` defines it.
        selection: the data that is restored for it.
        remarks: what is not certain.
    """

    root: str
    run: Run
    commit: str
    subject: str
    stage: str | None
    command: tuple[str, ...]
    record: StageRecord
    selection: Selection
    remarks: tuple[str, ...]


def plan_rerun(
    run: str | Run, tracking_uri: str | None = None, command: Sequence[str] = ()
) -> Plan:
    """Plan to run again what made a run; nothing is changed.

    Args:
        run: the run, or what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        command: what to run, for a run outside a stage.

    Raises:
        MlflowDvcError: it cannot be repeated.
    """
    check_no_stage()
    root = find_root()
    run = find_run(run, tracking_uri) if isinstance(run, str) else run
    state = load_state(run, project=root)
    commit = _find_commit(root, run, state, command)
    if state.stage is None:
        record = StageRecord((shlex.join(command),), ".", (), {}, ())
    else:
        record = read_commit_stage(root, commit, state.stage)
    allowed = {e.path for e in read_commit_state(root, commit).entries}
    allowed |= {path for path in record.dep_paths if not _is_in_git(root, commit, path)}
    # Tags must not put files beside the commit's code, where they could be run.
    refused = [e.path for e in state.used_entries() if e.path not in allowed]
    if refused:
        raise RerunError(
            f"Commit {commit[:12]} does not track {join_some(refused, _SHOWN)} with DVC, so a "
            "rerun does not put it beside the code."
        )
    entries = tuple(e for e in state.entries if e.path in allowed)
    selection = select_outs(run, state._replace(entries=entries, git_commit=commit), None)
    subject = run_git(root, "log", "-1", "--format=%s", commit).decode(errors="replace").strip()
    remarks = tuple(_explain(run))
    return Plan(root, run, commit, subject, state.stage, tuple(command), record, selection, remarks)


def _find_commit(root: str, run: Run, state: DataState, command: Sequence[str]) -> str:
    """The commit whose code a run ran, or a RerunError that says why it cannot be repeated."""
    run_id = run.run_id
    if "mlflow.parentRunId" in run.tags:
        raise RerunError(
            f"Run {run_id} is a child of run {run.tags['mlflow.parentRunId'][:40]}, which started "
            "it. Rerun that one."
        )
    if state.stage is None and not command:
        raise RerunError(
            f"Run {run_id} was not started in a DVC stage, so it is not recorded what to run. Give "
            f"its command: mlflow-dvc rerun {run_id} -- COMMAND"
        )
    if state.stage is not None and command:
        raise RerunError(
            f"Run {run_id} was started in stage {state.stage}, whose commands are in dvc.yaml. "
            "Leave the command out."
        )
    if run.modified:
        raise RerunError(
            f"Run {run_id} read data that was modified and not saved ({join_some(run.modified, 3)}"
            "), so nobody has what it read."
        )
    if state.git_commit is None or not is_commit(state.git_commit):
        raise RerunError(f"Run {run_id} has no Git commit, so its code is unknown.")
    commit = resolve_commit(root, state.git_commit)
    if state.exp_name:
        return _find_experiment(root, run_id, state.exp_name, state.exp_baseline or commit)
    return commit


def read_commit_stage(root: str, commit: str, address: str) -> StageRecord:
    """Read a stage as a commit's ``dvc.yaml`` and ``dvc.lock`` have it.

    A RerunError says that it has no such stage.
    """
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        write_commit_files(root, commit, folder)
        with open_project(folder) as dvc:
            try:
                return dvc.read_stage(address)
            except DvcError as err:
                reason = str(err).replace(f"{dvc.root}{os.sep}", "")
                raise RerunError(
                    f"Commit {commit[:12]} does not define stage {address[:80]!r}: {reason}."
                ) from err
            finally:
                dvc.delete_databases()


def _find_experiment(root: str, run_id: str, name: str, baseline: str) -> str:
    """The commit that DVC made of an experiment, with its params and uncommitted code."""
    try:
        if not _EXPERIMENT_NAME.match(name) or not is_commit(baseline):
            raise GitError(name)
        return resolve_commit(root, f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}")
    except GitError as err:
        raise RerunError(
            f"Run {run_id} was made by the DVC experiment {name[:80]!r}, which is not in this "
            "repository, so its params are unknown. Get it with `dvc exp pull`."
        ) from err


def _is_in_git(root: str, commit: str, path: str) -> bool:
    try:
        run_git(root, "rev-parse", "--verify", "--quiet", f"{commit}:./{path}")
    except GitError:
        return False
    return True


def _explain(run: Run) -> list[str]:
    remarks = []
    if run.tags.get("dvc.status") == "unverified":
        remarks.append(
            "It was not verified when the run started that it read what the metafiles recorded."
        )
    if run.changed:
        remarks.append(f"These changed while the run was running: {join_some(run.changed, 3)}.")
    return remarks
