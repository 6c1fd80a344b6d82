"""Run what made a run again on its own code and data, and compare what comes out."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from mlflow_dvc_plugin.errors import RerunError, join_some
from mlflow_dvc_plugin.git import find_prefix
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.rerunning.code import apply_diff
from mlflow_dvc_plugin.rerunning.outputs import compare_outputs
from mlflow_dvc_plugin.rerunning.plan import Plan
from mlflow_dvc_plugin.rerunning.process import (
    build_environment,
    find_code_paths,
    run_command,
    run_stage,
)
from mlflow_dvc_plugin.rerunning.verdict import (
    Comparison,
    Tolerance,
    Verdict,
    combine,
    compare_inputs,
    compare_metrics,
)
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.restoring.run_data.fetch import Options
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.restoring.worktree import remove_worktree, restore_to_worktree
from mlflow_dvc_plugin.state.tags import REPRODUCED, RERUN_OF
from mlflow_dvc_plugin.tracking import Run, search_runs, tag_clause, write_tags
from mlflow_dvc_plugin.tracking.store import to_absolute_uri

_SHOWN = 10


@dataclass(frozen=True)
class Rerun:
    """A run, the run that repeated it, and what both have in common.

    Attributes:
        folder: the worktree, if it was kept; else empty.
        remarks: what limits the verdict.
    """

    run_id: str
    rerun: str
    verdict: Verdict
    inputs: list[Comparison]
    outputs: list[Comparison]
    metrics: list[Comparison]
    folder: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def reproduced(self) -> bool:
        """The same came out, as far as it was compared."""
        return self.verdict != "different"

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        found = {
            "run_id": self.run_id,
            "rerun": self.rerun,
            "inputs": [each.to_dict("path") for each in self.inputs],
            "outputs": [each.to_dict("path") for each in self.outputs],
            "metrics": [each.to_dict("name") for each in self.metrics],
            "reproduced": self.reproduced,
            "verdict": self.verdict,
        }
        return found | ({"worktree": self.folder} if self.folder else {})


def rerun(
    plan: Plan,
    *,
    environ: Mapping[str, str],
    worktree: str | None = None,
    keep: bool = False,
    tolerance: Tolerance | None = None,
    record: bool = False,
    progress: Progress | None = None,
) -> Rerun:
    """Run what made a run again, in a Git worktree at its commit, and compare both runs.

    The project, its workspace and its branches stay as they are. The new run is in the
    experiment of the old one, and has its id in the tag ``dvc.rerun_of``.

    Args:
        plan: what runs. Its commands are code of others, if others can write to the MLflow store
            or to the repository: let a person read them first.
        environ: the environment that the stage gets.
        worktree: a folder for the worktree; None for a temporary one.
        keep: do not remove the worktree at the end.
        tolerance: how much numbers may differ.
        record: write the verdict to the old run, as tag ``dvc.reproduced``.
        progress: is told of files and bytes.

    Raises:
        MlflowDvcError: the run cannot be repeated, or compared.
    """
    tolerance = tolerance or Tolerance()
    old = plan.run
    options = Options(progress=progress or Progress())
    with _make_worktree(plan, options, worktree, keep) as (top, inside):
        if plan.diff:
            apply_diff(top, plan.diff)
        _check_stage(inside, plan)
        options.progress.end()
        began = time.time_ns() // 1_000_000
        _run_stage(top, inside, plan, environ)
        new = _find_new_run(plan, began)
        options.progress.begin("Comparing", 0)
        outputs = _compare_outputs(plan, inside, tolerance)
        inputs = compare_inputs(plan.selection.state, load_state(new, project=inside))
        metrics = compare_metrics(old.metrics, new.metrics, tolerance)
    compared = [each for each in (*outputs, *metrics) if each.verdict]
    if not compared:
        raise RerunError(
            f"Run {new.run_id} repeated run {old.run_id}, but there is nothing to compare: that "
            "run has no metrics, and what its stage made is not recorded."
        )
    verdict = combine([*inputs, *compared])
    if record:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        write_tags(old.run_id, {REPRODUCED: f"{verdict}, {day}"}, tracking_uri=old.store)
    folder = top if keep else ""
    remarks = (*plan.remarks, *_explain(outputs))
    return Rerun(old.run_id, new.run_id, verdict, inputs, outputs, metrics, folder, remarks)


@contextmanager
def _make_worktree(
    plan: Plan, options: Options, worktree: str | None, keep: bool
) -> Iterator[tuple[str, str]]:
    """Make a worktree with the run's code and data; its folder, and that of the project in it.

    By default it is in the project's ``.dvc/tmp``: on the disk of the cache, so that links to
    the cache are possible.
    """
    root = plan.root
    parent = os.path.join(root, ".dvc", "tmp", "rerun")
    if worktree is None:
        os.makedirs(parent, exist_ok=True)
    folder = os.path.abspath(worktree) if worktree else tempfile.mkdtemp(dir=parent)
    try:
        restore_to_worktree(root, plan.selection, folder, options)
    except BaseException:
        if worktree is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    inside = os.path.join(folder, find_prefix(root)).rstrip(os.sep)
    try:
        yield folder, inside
    finally:
        if not keep:
            with _ignore_interrupts():
                _remove(root, folder, inside)


def _remove(root: str, folder: str, inside: str) -> None:
    """Remove a worktree, and DVC's databases of it."""
    with suppress(Exception), open_project(inside) as dvc:
        dvc.delete_databases()
    remove_worktree(root, folder)


@contextmanager
def _ignore_interrupts() -> Iterator[None]:
    """Let what cleans up end, even if the user presses Ctrl-C again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _compare_outputs(plan: Plan, inside: str, tolerance: Tolerance) -> list[Comparison]:
    """Compare what the stage made; outside a stage, nothing says what was made."""
    if plan.stage is None:
        return []
    with open_project(inside) as dvc:
        made = dvc.read_stage(plan.stage)
    with open_project(plan.root) as dvc:
        return compare_outputs(dvc, plan, made, inside, tolerance)


def _check_stage(inside: str, plan: Plan) -> None:
    """Refuse to run anything else than what was shown, whatever the restored files say."""
    if plan.stage is None:
        return
    with open_project(inside) as dvc:
        record = dvc.read_stage(plan.stage)
    if (record.commands, record.folder) != (plan.record.commands, plan.record.folder):
        raise RerunError(
            f"With the run's data, the commands of stage {plan.stage} are not those of commit "
            f"{plan.commit[:12]}. Nothing was run."
        )


def _run_stage(top: str, inside: str, plan: Plan, environ: Mapping[str, str]) -> None:
    store = to_absolute_uri(plan.run.store)
    env = build_environment(environ, plan.run.run_id, store, plan.run.experiment_id)
    up = [os.pardir] * find_prefix(plan.root).count("/")
    code = find_code_paths(env, os.path.normpath(os.path.join(plan.root, *up)), top)
    if code:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [*code, env.get("PYTHONPATH")]))
    if plan.stage is None:
        folder = os.path.normpath(os.path.join(inside, plan.folder))
        exit_code = run_command(folder, plan.command, env)
    else:
        exit_code = run_stage(inside, plan.stage, env)
    if exit_code:
        raise RerunError(
            f"{_name(plan)} failed with exit code {exit_code}, and printed the reason above. With "
            "--keep, its worktree is kept for a closer look."
        )


def _name(plan: Plan) -> str:
    return "The command" if plan.stage is None else f"Stage {plan.stage}"


def _find_new_run(plan: Plan, began: int) -> Run:
    """The run that the stage started; `began` is in milliseconds since 1970 (UTC)."""
    old = plan.run
    runs = [
        run
        for run in search_runs([tag_clause(RERUN_OF, old.run_id)], tracking_uri=old.store)
        if run.start_time >= began and run.tags.get("dvc.stage") == plan.stage
    ]
    if not runs:
        raise RerunError(
            f"{_name(plan)} ended well, but started no run in this MLflow store that names "
            f"run {old.run_id}. Its code may set another store, or resume a run."
        )
    same = [run for run in runs if run.name == old.name] if len(runs) > 1 else runs
    if len(same) != 1:
        raise RerunError(
            f"{_name(plan)} started {len(runs)} runs, and not exactly one of them is named "
            f"{old.name!r}, so it is not certain which of them repeats run {old.run_id}."
        )
    return same[0]


def _explain(outputs: list[Comparison]) -> list[str]:
    unknown = [each.name for each in outputs if each.verdict is None]
    if not unknown:
        return []
    paths = join_some(unknown, _SHOWN)
    remark = (
        f"It is not recorded what the run made at {paths}. Use `mlflow-dvc link` after `dvc repro`."
    )
    return [remark]
