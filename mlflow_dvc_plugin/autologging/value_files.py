"""Values in the files that DVC reads parameters and metrics from."""

from __future__ import annotations

import ast
import json
import posixpath
from collections.abc import Iterator
from typing import Any

from mlflow_dvc_plugin.capturing.formats import yaml as document

MAX_BYTES = 16 * 1024 * 1024
_MAX_LEAVES = 10_000


class ValuesError(Exception):
    """A file holds no values that DVC would read."""


def read(path: str) -> Any:
    """The content of a YAML, JSON, TOML or Python file, by the end of its name.

    Raises:
        ValuesError: it cannot be read as that.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValuesError(f"{path} is larger than {MAX_BYTES:,} bytes")
        return parse(posixpath.splitext(path)[1].lower(), data)
    except OSError as err:
        raise ValuesError(f"{path} cannot be read ({err.strerror})") from err
    except (ValueError, SyntaxError, RecursionError, document.DocumentError) as err:
        raise ValuesError(f"{path} cannot be read ({err})") from err


def parse(suffix: str, data: bytes) -> Any:
    """The values in `data`, as DVC reads a file whose name ends in `suffix`."""
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
    return document.load(data)


def leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below mappings, with its keys joined by dots."""
    stack = [(prefix, values)]
    count = 0
    while stack:
        name, value = stack.pop()
        if isinstance(value, dict):
            below = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
            stack += reversed(below)
        elif name:
            yield name, value
            count += 1
            if count >= _MAX_LEAVES:
                return


def _constants(body: list[ast.stmt]) -> dict[str, Any]:
    """Names with constant values, of a module and of its classes, as DVC has them."""
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
