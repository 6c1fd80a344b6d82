"""Params and metrics in structured files: YAML, JSON, TOML and Python."""

from __future__ import annotations

import ast
import json
import math
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from mlflow_dvc_plugin.capturing.formats.yaml import load_yaml
from mlflow_dvc_plugin.errors import FormatError

MAX_PARAMS = 1_000
MAX_BYTES = 16 * 1024 * 1024  # of one file
_MAX_LEAVES = 10_000
_MAX_KEY = 250  # characters
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_./ -]")


def read_params(
    project: str, keys_by_file: Mapping[str, Sequence[str]]
) -> tuple[dict[str, str], list[str]]:
    """The values of parameters, and warnings about what could not be read.

    Args:
        project: absolute path of the project.
        keys_by_file: which keys to read from each params file; all keys of a
            file if there are none. A file that does not exist is skipped.
    """
    params: dict[str, str] = {}
    problems: list[str] = []
    for path, keys in keys_by_file.items():
        if not os.path.exists(os.path.join(project, path)):
            continue
        for name, value in _read_leaves(project, path, problems):
            if not keys or any(name == key or name.startswith(f"{key}.") for key in keys):
                _add(params, path, name, str(value))
    if len(params) > MAX_PARAMS:
        problems.append(f"Only the first {MAX_PARAMS} of {len(params)} params are logged.")
    return dict(list(params.items())[:MAX_PARAMS]), problems


def read_metrics(project: str, paths: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """The numbers in metrics files, and warnings about what could not be read."""
    metrics: dict[str, float] = {}
    problems: list[str] = []
    for path in paths:
        for name, value in _read_leaves(project, path, problems):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                try:
                    number = float(value)
                except OverflowError:
                    number = math.inf
                _add(metrics, path, name, number)
    return metrics, problems


def _add(into: dict[str, Any], path: str, name: str, value: Any) -> None:
    """Add a value, with the file's path in its key if another file has another value."""
    key = _NOT_IN_KEYS.sub("_", name)[:_MAX_KEY]
    if into.get(key, value) != value:
        key = _NOT_IN_KEYS.sub("_", f"{path}/{name}")[:_MAX_KEY]
    into[key] = value


def _read_leaves(project: str, path: str, problems: list[str]) -> Iterator[tuple[str, Any]]:
    try:
        with open(os.path.join(project, path), "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        content = _parse(posixpath.splitext(path)[1].lower(), data)
    except (OSError, ValueError, SyntaxError, RecursionError, FormatError) as err:
        problems.append(f"{path} cannot be read: {err}.")
        return
    yield from islice(_leaves(content), _MAX_LEAVES)


def _parse(suffix: str, data: bytes) -> Any:
    """The content of a file whose name ends in `suffix`, as DVC reads it."""
    if suffix == ".json":
        return json.loads(data)
    if suffix == ".toml":
        try:
            import tomllib
        except ImportError:  # Python 3.10
            import tomli as tomllib
        return tomllib.loads(data.decode())
    if suffix == ".py":
        return _constants(ast.parse(data).body)
    return load_yaml(data)


def _leaves(content: Any) -> Iterator[tuple[str, Any]]:
    """Every value below nested mappings, with its keys joined by dots."""
    stack = [("", content)]
    while stack:
        name, value = stack.pop()
        if isinstance(value, dict):
            below = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
            stack += reversed(below)
        elif name:
            yield name, value


def _constants(body: list[ast.stmt]) -> dict[str, Any]:
    """The constants of a Python module and of its classes, as DVC reads them."""
    found: dict[str, Any] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = _constants(node.body)
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            found.update(_constants(node.body))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = getattr(target, "id", None) or getattr(target, "attr", None)
            try:
                if name:
                    found[name] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found
