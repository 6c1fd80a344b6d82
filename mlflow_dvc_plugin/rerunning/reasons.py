"""What may have made a run and its repetition different."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlflow_dvc_plugin.dvc.stages import StageRecord
from mlflow_dvc_plugin.errors import join_some
from mlflow_dvc_plugin.rerunning.environment.comparison import PackageDifference
from mlflow_dvc_plugin.rerunning.environment.pins import PYTHON
from mlflow_dvc_plugin.rerunning.environment.record import EnvironmentRecord
from mlflow_dvc_plugin.rerunning.verdict import Comparison
from mlflow_dvc_plugin.tracking import Run

_SEED = re.compile(r"seed|random[_-]?state", re.IGNORECASE)
_ARGUMENT = re.compile(r"\b(?:[\w-]*[_-])?(?:seed|random[_-]?state)s?\b", re.IGNORECASE)
_UNSET = ("None", "null", "")
_SHOWN = 10
_VALUE = 40  # characters of a param


def find_reasons(
    old: Run,
    new: Run,
    *,
    stage: StageRecord,
    inputs: Sequence[Comparison],
    environment: EnvironmentRecord,
    packages: Sequence[PackageDifference] | None,
) -> tuple[str, ...]:
    """Likely reasons for a difference of two runs, and what is not known: sentences.

    Args:
        old: the run that was repeated.
        new: the run that repeated it.
        stage: what ran.
        inputs: the data of both.
        environment: what is recorded of the old run's.
        packages: those that differ; None if they could not be compared.
    """
    return (
        *_explain_inputs(inputs),
        *_explain_packages(environment, packages),
        *_explain_seeds(old, new, stage),
        "The hardware is not recorded.",
    )


def _explain_inputs(inputs: Sequence[Comparison]) -> Iterator[str]:
    names = [each.name for each in inputs if each.verdict not in ("identical", None)]
    if names:
        yield f"The data differs: {join_some(names, _SHOWN)}."


def _explain_packages(
    environment: EnvironmentRecord, packages: Sequence[PackageDifference] | None
) -> Iterator[str]:
    if not environment.file:
        yield "The versions of the run's packages are not recorded."
    elif packages is None:
        yield "The versions of the run's packages could not be compared."
    packages = packages or ()
    for each in packages:
        if each.name == PYTHON:
            yield f"Python was {each.old} and is {each.new}."
    others = [
        f"{each.name} ({each.old}, now {each.new or 'not installed'})"
        for each in packages
        if each.name != PYTHON
    ]
    if others:
        yield f"The versions of packages differ: {join_some(others, _SHOWN)}."


def _explain_seeds(old: Run, new: Run, stage: StageRecord) -> Iterator[str]:
    """Compare what is named like a seed among the params of both runs."""
    before, after = _find_seeds(old.params), _find_seeds(new.params)
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one is None or other is None:
            which = "rerun" if one is None else "run"
            yield f"Only the {which} logged the param {name}."
        elif one != other:
            yield f"The param {name} was {one[:_VALUE]} and is {other[:_VALUE]}."
        elif one in _UNSET:
            yield f"The param {name} is not set."
    if not before and not after and not _names_seed(stage):
        yield "No seed is recorded."


def _find_seeds(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if _SEED.search(name)}


def _names_seed(stage: StageRecord) -> bool:
    """Is a seed among the arguments of the commands, or the params of the stage?"""
    params = (value for value in stage.deps.values() if isinstance(value, dict))
    return any(map(_ARGUMENT.search, stage.commands)) or any(map(_find_seeds, params))
