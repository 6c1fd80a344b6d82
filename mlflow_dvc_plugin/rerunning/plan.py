"""What a rerun will do: which commands of which commit, on which data."""

from __future__ import annotations

import hashlib
import posixpath
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_dvc_plugin.capturing.commit_state import read_commit_state
from mlflow_dvc_plugin.dvc.stages import StageRecord
from mlflow_dvc_plugin.errors import RerunError, join_some
from mlflow_dvc_plugin.git import find_prefix, read_blob, run_git
from mlflow_dvc_plugin.rerunning.code import check_diff, find_diff
from mlflow_dvc_plugin.rerunning.commit import find_commit, is_in_git, read_commit_stages
from mlflow_dvc_plugin.rerunning.environment.installation import Installation, plan_installation
from mlflow_dvc_plugin.rerunning.environment.record import EnvironmentRecord, read_environment
from mlflow_dvc_plugin.restoring.project import check_no_stage, find_root
from mlflow_dvc_plugin.restoring.run_data.outs import Selection, select_outs
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state.tags import CODE_STATUS
from mlflow_dvc_plugin.tracking import Run, find_run

_SHOWN = 10


@dataclass(frozen=True)
class Plan:
    """What a rerun will do.

    Attributes:
        root: the project's folder.
        commit: the commit whose code runs.
        subject: the first line of its message.
        author: who made it, as it says itself.
        branches: some of the branches that have it.
        stage: the stage's address; None outside a stage.
        command: what to run outside a stage.
        folder: the working directory of the command, relative to the project.
        diff: code that the commit lacks, as ``git diff`` prints it.
        record: the stage, as the commit's ``dvc.yaml`` defines it.
        selection: the data that is restored for it.
        remarks: what is not certain.
        environment: what is recorded of the run's environment.
        installation: what to install in an environment of its own; None to use the one that
            is there.
        upstream: the stages that run first, by address.
    """

    root: str
    run: Run
    commit: str
    subject: str
    author: str
    branches: tuple[str, ...]
    stage: str | None
    command: tuple[str, ...]
    folder: str
    diff: bytes
    record: StageRecord
    selection: Selection
    remarks: tuple[str, ...]
    environment: EnvironmentRecord
    installation: Installation | None = None
    upstream: Mapping[str, StageRecord] = field(default_factory=dict)


def plan_rerun(
    run: str | Run,
    tracking_uri: str | None = None,
    command: Sequence[str] = (),
    with_environment: bool = False,
    with_upstream: bool = False,
) -> Plan:
    """Plan to run again what made a run; nothing is changed.

    Args:
        run: the run, or what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        command: what to run instead of the recorded command, for a run outside a stage.
        with_environment: make an environment from what is recorded of the run's.
        with_upstream: run the stages, too, on which the run's stage depends.

    Raises:
        MlflowDvcError: it cannot be repeated.
    """
    check_no_stage()
    root = find_root()
    run = find_run(run, tracking_uri) if isinstance(run, str) else run
    state = load_state(run, project=root)
    commit = find_commit(root, run, state, command)
    diff = find_diff(run, state)
    if diff:
        check_diff(diff, {find_prefix(root) + e.path for e in state.entries})
    folder = "."
    upstream: dict[str, StageRecord] = {}
    if state.stage is None:
        if with_upstream:
            raise RerunError(
                f"Run {run.run_id} was not started in a DVC stage, so no stages are upstream of "
                "it. Leave --with-upstream out."
            )
        command, folder = _find_command(root, run, state, command)
        record = StageRecord((shlex.join(command),), folder, (), {}, ())
    else:
        record, upstream = read_commit_stages(root, commit, state.stage, diff, with_upstream)
    allowed = {e.path for e in read_commit_state(root, commit).entries}
    dep_paths = {path for each in (record, *upstream.values()) for path in each.dep_paths}
    allowed |= {path for path in dep_paths if not is_in_git(root, commit, path)}
    # Tags must not put files beside the commit's code, where they could be run.
    refused = [e.path for e in state.used_entries() if e.path not in allowed]
    if refused:
        raise RerunError(
            f"Commit {commit[:12]} does not track {join_some(refused, _SHOWN)} with DVC, so a "
            "rerun does not put it beside the code."
        )
    entries = tuple(e for e in state.entries if e.path in allowed)
    selection = select_outs(run, state._replace(entries=entries, git_commit=commit), None)
    subject, author = _read_lines(root, "log", "-1", "--format=%s%n%an", commit)
    branches = _read_lines(
        root,
        *("for-each-ref", f"--contains={commit}", f"--count={_SHOWN}"),
        *("--format=%(refname:short)", "refs/heads", "refs/remotes"),
    )
    environment = read_environment(run, root, commit, diff)
    if state.program is not None:
        environment = environment.with_python(state.program.python)
    return Plan(
        root=root,
        run=run,
        commit=commit,
        subject=subject,
        author=author,
        branches=tuple(branches),
        stage=state.stage,
        command=tuple(command),
        folder=folder,
        diff=diff,
        record=record,
        selection=selection,
        remarks=tuple(_explain(root, run, commit, state)),
        environment=environment,
        installation=plan_installation(environment) if with_environment else None,
        upstream=upstream,
    )


def _find_command(
    root: str, run: Run, state: DataState, given: Sequence[str]
) -> tuple[Sequence[str], str]:
    """The command of a run outside a stage and its working directory, relative to the project.

    What the user gives runs in the project's folder.
    """
    if given:
        return given, "."
    program = state.program
    if program is None or not program.args:
        raise RerunError(
            f"Run {run.run_id} was not started in a DVC stage, and its command is not recorded. "
            f"Give it: mlflow-dvc rerun {run.run_id} -- COMMAND"
        )
    if program.is_masked:
        raise RerunError(
            f"The command of run {run.run_id} had a secret in it, which is not recorded. Give it: "
            f"mlflow-dvc rerun {run.run_id} -- {shlex.join(program.args)}"
        )
    inside = posixpath.normpath(posixpath.join(find_prefix(root), program.folder))
    if inside.split("/")[0] == "..":
        raise RerunError(
            f"Run {run.run_id} names a working directory outside the repository: "
            f"{program.folder[:80]!r}. Give its command: mlflow-dvc rerun {run.run_id} -- COMMAND"
        )
    return program.args, program.folder


def _read_lines(root: str, *args: str) -> list[str]:
    return run_git(root, *args).decode(errors="replace").splitlines()


def _explain(root: str, run: Run, commit: str, state: DataState) -> Iterator[str]:
    if run.tags.get("dvc.status") == "unverified":
        yield "It was not verified when the run started that it read what the metafiles recorded."
    if run.changed:
        yield f"These changed while the run was running: {join_some(run.changed, 3)}."
    if run.tags.get(CODE_STATUS) == "unverified":
        yield "It was not verified when the run started that its code was as the commit has it."
    if state.stage is not None and state.exp_name is None:
        path = posixpath.join(posixpath.dirname(state.stage.rpartition(":")[0]), "dvc.yaml")
        recorded = state.pipelines.get(path)
        data = read_blob(root, commit, path) or b""
        if recorded and hashlib.md5(data, usedforsecurity=False).hexdigest()[:16] != recorded:
            yield f"{path} had changes that were not committed: the commands are the commit's."
