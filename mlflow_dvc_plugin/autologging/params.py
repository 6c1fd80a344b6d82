"""A stage's parameters as MLflow params."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_dvc_plugin.autologging import value_files as values
from mlflow_dvc_plugin.autologging.value_files import ValuesError

MAX_KEY = 250  # characters, in every MLflow
MAX_PARAMS = 1_000
_ODD = re.compile(r"[^A-Za-z0-9_./ -]")


def read(project: str, declared: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], list[str]]:
    """The values of declared parameters, flattened with dots.

    Args:
        project: absolute path of the project.
        declared: the keys that count in each file; none for all of them.

    Returns:
        The params, and what is to be said of those that are not among them.
    """
    found: dict[str, str] = {}
    said: list[str] = []
    for path, keys in declared.items():
        full = os.path.join(project, path)
        if not os.path.exists(full):
            continue
        try:
            content = values.read(full)
        except ValuesError as err:
            said.append(str(err))
            continue
        for name, value in values.leaves(content):
            if keys and not any(name == key or name.startswith(f"{key}.") for key in keys):
                continue
            key = _key(name)
            if key in found and found[key] != _text(value):
                key = _key(f"{path}/{name}")
            found[key] = _text(value)
    if len(found) > MAX_PARAMS:
        said.append(f"of {len(found)} params, the first {MAX_PARAMS} are logged")
    return dict(list(found.items())[:MAX_PARAMS]), said


def _key(name: str) -> str:
    clean = _ODD.sub("_", name)
    return clean if len(clean) <= MAX_KEY else clean[:MAX_KEY]


def _text(value: Any) -> str:
    return str(value)
