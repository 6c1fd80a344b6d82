"""What a user names to compare or check: a run, or a commit of the project."""

from __future__ import annotations

import re

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.capturing.commit_state import read_commit_state
from mlflow_dvc_plugin.errors import GitError, MlflowDvcError, RunNotFoundError
from mlflow_dvc_plugin.git import resolve_commit
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.tracking import Run, find_run

_ONLY_A_RUN = re.compile(r"(?:runs|models):/")
_RUN_OR_COMMIT = re.compile(r"[0-9a-f]{1,32}\Z")


def find_run_or_commit(text: str, tracking_uri: str | None = None) -> Run | DataState:
    """The run that a user means, or the data state that the metafiles of a commit record.

    Up to 32 hexadecimal digits mean a run if there is one, and else a commit. Any other
    text, such as ``main`` or ``HEAD~1``, means a Git revision if there is one, and else a run.

    Raises:
        RunNotFoundError: it is neither.
        MlflowDvcError: the MLflow store or the commit cannot be read.
    """
    root = None if _ONLY_A_RUN.match(text) else find_project()
    if root is None:
        return find_run(text, tracking_uri)
    if _RUN_OR_COMMIT.match(text):
        try:
            return find_run(text, tracking_uri)
        except MlflowDvcError:  # also where there is no MLflow store
            commit = _find_commit(root, text)
            if commit is None:
                raise
    else:
        commit = _find_commit(root, text)
        if commit is None:
            try:
                return find_run(text, tracking_uri)
            except RunNotFoundError as err:
                raise RunNotFoundError(
                    f"{text[:80]!r} is neither a revision of this Git repository nor a run in this "
                    "MLflow store. Check the name, and --tracking-uri or MLFLOW_TRACKING_URI."
                ) from err
    return read_commit_state(root, commit)


def _find_commit(root: str, text: str) -> str | None:
    try:
        return resolve_commit(root, text)
    except GitError:
        return None
