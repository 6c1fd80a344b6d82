"""The commit whose code a run ran, and the stages that it defines."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence

from mlflow_dvc_plugin.capturing.commit_state import write_commit_files
from mlflow_dvc_plugin.dvc.stages import StageRecord
from mlflow_dvc_plugin.errors import DvcError, GitError, NoGitError, RerunError, join_some
from mlflow_dvc_plugin.git import is_commit, resolve_commit, run_git
from mlflow_dvc_plugin.rerunning.code import apply_diff_to_copies
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.tracking import Run

_EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")


def find_commit(root: str, run: Run, state: DataState, command: Sequence[str]) -> str:
    """The commit whose code a run ran, or a RerunError that says why it cannot be repeated."""
    run_id = run.run_id
    if "mlflow.parentRunId" in run.tags:
        raise RerunError(
            f"Run {run_id} is a child of run {run.tags['mlflow.parentRunId'][:40]}, which started "
            "it. Rerun that one."
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
    try:
        commit = resolve_commit(root, state.git_commit)
    except NoGitError:
        raise
    except GitError as err:
        raise RerunError(
            f"This Git repository has no commit {state.git_commit}, whose code run {run_id} ran. "
            "Fetch it from a clone that has it (`git fetch`). Without it, only the data can be "
            f"restored: mlflow-dvc restore {run_id} --out DIR"
        ) from err
    if state.exp_name:
        return _find_experiment(root, run_id, state.exp_name, state.exp_baseline or commit)
    return commit


def read_commit_stages(
    root: str, commit: str, address: str, diff: bytes, with_upstream: bool
) -> tuple[StageRecord, dict[str, StageRecord]]:
    """Read a stage as a commit's ``dvc.yaml`` and ``dvc.lock`` have it, with params of the diff.

    Returns:
        The stage, and if they are asked for the stages upstream of it, by address.

    Raises:
        RerunError: the commit has no such stage.
    """
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        write_commit_files(root, commit, folder)
        if diff:
            apply_diff_to_copies(root, folder, diff)
        with open_project(folder) as dvc:
            try:
                upstream = dvc.read_upstream(address) if with_upstream else {}
                return dvc.read_stage(address), upstream
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


def is_in_git(root: str, commit: str, path: str) -> bool:
    """Does a commit have something at a path in the project?"""
    try:
        run_git(root, "rev-parse", "--verify", "--quiet", f"{commit}:./{path}")
    except GitError:
        return False
    return True
