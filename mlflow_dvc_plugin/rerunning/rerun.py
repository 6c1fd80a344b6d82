"""Run what made a run again on its own code and data, and compare what comes out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from mlflow_dvc_plugin.errors import RerunError, join_some
from mlflow_dvc_plugin.git import find_prefix
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.rerunning.code import apply_diff
from mlflow_dvc_plugin.rerunning.environment.comparison import PackageDifference, compare_packages
from mlflow_dvc_plugin.rerunning.environment.interpreter import ask_interpreter, find_python
from mlflow_dvc_plugin.rerunning.environment.virtual_environment import (
    make_environment,
    use_environment,
)
from mlflow_dvc_plugin.rerunning.outputs import compare_outputs, find_old_hashes
from mlflow_dvc_plugin.rerunning.plan import Plan
from mlflow_dvc_plugin.rerunning.process import (
    build_environment,
    find_code_paths,
    find_interpreter,
    run_command,
    run_stage,
)
from mlflow_dvc_plugin.rerunning.reasons import find_reasons
from mlflow_dvc_plugin.rerunning.result import Rerun
from mlflow_dvc_plugin.rerunning.verdict import (
    Comparison,
    Tolerance,
    combine,
    compare_inputs,
    compare_metrics,
)
from mlflow_dvc_plugin.rerunning.worktree import make_worktree
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.restoring.run_data.fetch import Options
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state.tags import REPRODUCED, RERUN_OF
from mlflow_dvc_plugin.tracking import Run, search_runs, tag_clause, write_tags
from mlflow_dvc_plugin.tracking.store import to_absolute_uri

_SHOWN = 10


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
    with make_worktree(plan, options, worktree, keep) as (top, inside):
        if plan.diff:
            apply_diff(top, plan.diff)
        _check_stages(inside, plan)
        env = _build_environment(top, inside, plan, environ, options.progress)
        options.progress.end()
        began = time.time_ns() // 1_000_000
        _run_stage(inside, plan, env)
        new = _find_new_run(plan, began)
        options.progress.begin("Comparing", 0)
        outputs, upstream = _compare_outputs(plan, inside, tolerance)
        inputs = compare_inputs(plan.selection.state, load_state(new, project=inside))
        # What upstream stages made now is compared as their output.
        inputs = [each for each in inputs if each.name not in {made.name for made in upstream}]
        metrics = compare_metrics(old.metrics, new.metrics, tolerance)
        packages = _compare_packages(inside, plan, env)
    compared = [each for each in (*outputs, *metrics) if each.verdict]
    if not compared:
        raise RerunError(
            f"Run {new.run_id} repeated run {old.run_id}, but there is nothing to compare: that "
            "run has no metrics, and what its stage made is not recorded."
        )
    verdict = combine([*inputs, *upstream, *compared])
    reasons = find_reasons(
        old,
        new,
        stage=plan.record,
        inputs=[*inputs, *upstream],
        environment=plan.environment,
        packages=packages,
    )
    if record:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        write_tags(old.run_id, {REPRODUCED: f"{verdict}, {day}"}, tracking_uri=old.store)
    return Rerun(
        run_id=old.run_id,
        rerun=new.run_id,
        verdict=verdict,
        inputs=inputs,
        outputs=outputs,
        metrics=metrics,
        upstream=upstream,
        packages=packages,
        environment=str(plan.environment),
        reasons=() if verdict == "identical" else reasons,
        folder=top if keep else "",
        remarks=(*plan.remarks, *_explain(outputs)),
    )


def _compare_outputs(
    plan: Plan, inside: str, tolerance: Tolerance
) -> tuple[list[Comparison], list[Comparison]]:
    """Compare what the stage made, and what stages upstream of it made.

    Outside a stage, nothing says what was made.
    """
    if plan.stage is None:
        return [], []
    with open_project(inside) as dvc:
        made = dvc.read_stage(plan.stage)
        upstream_made = [dvc.read_stage(address) for address in plan.upstream]
    with open_project(plan.root) as dvc:
        before = find_old_hashes(dvc, plan, made)
        outputs = compare_outputs(dvc, before, made, inside, tolerance)
        # What they had made was there when the run started.
        before = {e.path: e.hash for e in plan.selection.state.entries if e.hash}
        upstream = [compare_outputs(dvc, before, e, inside, tolerance) for e in upstream_made]
    return outputs, [each for comparisons in upstream for each in comparisons]


def _compare_packages(
    inside: str, plan: Plan, env: Mapping[str, str]
) -> list[PackageDifference] | None:
    """Compare the recorded packages with those that the code had now; None if it is not known."""
    pins = plan.environment.pins
    if not pins:
        return None
    if plan.stage is None and plan.command[0] == "python":
        python = find_interpreter(env)
    else:
        command = next(iter(plan.record.commands), "") if plan.stage else _find_command(plan)
        python = find_python(command, os.path.join(inside, plan.record.folder), env)
    interpreter = ask_interpreter(python, env)
    return None if interpreter is None else compare_packages(pins, interpreter)


def _check_stages(inside: str, plan: Plan) -> None:
    """Refuse to run anything else than what was shown, whatever the restored files say."""
    if plan.stage is None:
        return
    with open_project(inside) as dvc:
        found = {**(dvc.read_upstream(plan.stage) if plan.upstream else {})}
        found[plan.stage] = dvc.read_stage(plan.stage)
    for address, record in {**plan.upstream, plan.stage: plan.record}.items():
        other = found.pop(address, None)
        if other is None or (other.commands, other.folder) != (record.commands, record.folder):
            raise _changed_error(address, plan)
    for address in found:
        raise _changed_error(address, plan)


def _changed_error(address: str, plan: Plan) -> RerunError:
    return RerunError(
        f"With the run's data, the commands of stage {address} are not those of commit "
        f"{plan.commit[:12]}. Nothing was run."
    )


def _build_environment(
    top: str, inside: str, plan: Plan, environ: Mapping[str, str], progress: Progress
) -> dict[str, str]:
    """The variables for the stage; those of an environment of its own, if one is wanted."""
    store = to_absolute_uri(plan.run.store)
    env = build_environment(environ, plan.run.run_id, store, plan.run.experiment_id)
    up = [os.pardir] * find_prefix(plan.root).count("/")
    code = find_code_paths(env, os.path.normpath(os.path.join(plan.root, *up)), top)
    if code:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [*code, env.get("PYTHONPATH")]))
    if plan.installation is not None:
        progress.end()  # the installer shows its own
        env = make_environment(plan.installation, inside, env)
    return env


def _find_command(plan: Plan) -> Sequence[str]:
    return use_environment(plan.command) if plan.installation else plan.command


def _run_stage(inside: str, plan: Plan, env: Mapping[str, str]) -> None:
    if plan.stage is None:
        folder = os.path.normpath(os.path.join(inside, plan.folder))
        exit_code = run_command(folder, _find_command(plan), env)
    else:
        exit_code = run_stage(inside, plan.stage, env, bool(plan.upstream))
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
