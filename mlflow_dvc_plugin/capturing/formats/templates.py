"""Stage definitions of ``dvc.yaml`` with their templates resolved.

The common part of DVC's template language is resolved here: ``${name.key}``
from ``params.yaml``, ``vars`` and files, ``foreach`` and ``matrix``. Everything
else, and every error, is left to DVC itself
(:mod:`mlflow_dvc_plugin.capturing.formats.dvc_resolver`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from mlflow_dvc_plugin.capturing.files import read_file
from mlflow_dvc_plugin.capturing.formats.interpolation import UnsupportedError, interpolate, to_text
from mlflow_dvc_plugin.capturing.formats.pipeline import has_templates
from mlflow_dvc_plugin.capturing.formats.yaml import Timestamp, load_yaml
from mlflow_dvc_plugin.errors import CaptureError, FormatError
from mlflow_dvc_plugin.named_tuple import NamedTuple

_PARAMS_FILE = "params.yaml"
_SECTIONS = ("metrics", "params", "plots", "artifacts", "datasets")
_MAX_STAGES = 200_000


class _Scope(NamedTuple):
    """The variables of ``dvc.yaml`` or of one stage."""

    context: dict[str, Any]
    loaded: set[str]  # absolute paths of the files that they are from
    reserved: tuple[str, ...] = ()  # names that cannot be defined

    def add(self, variables: dict[str, Any]) -> _Scope:
        """The scope with the variables of a group, such as ``item``."""
        return _Scope({**self.context, **variables}, self.loaded, tuple(variables))

    def copy(self) -> _Scope:
        """A scope that can be changed."""
        return self._replace(context=_copy(self.context), loaded=set(self.loaded))


def resolve_templates(
    content: Mapping[str, Any],
    data: bytes,
    project: str,
    metafile: str,
    add_file: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, Any]]:
    """Resolve the definition of every stage, by name.

    `content` is the parsed ``dvc.yaml``, `data` its bytes. `add_file` is called with the
    path of every other file that it depends on.
    """
    stages: dict[str, dict[str, Any]] = content.get("stages", {})
    if not has_templates(content, data):
        return stages
    try:
        return _Resolver(project, metafile, add_file).resolve(content)
    except UnsupportedError:
        from mlflow_dvc_plugin.capturing.formats.dvc_resolver import resolve_with_dvc

        return resolve_with_dvc(data, project, metafile, add_file)


class _Resolver:
    """Resolves the templates of one ``dvc.yaml``."""

    def __init__(self, project: str, metafile: str, add_file: Callable[[str], None]) -> None:
        self._add_file = add_file
        self._folder = os.path.dirname(os.path.join(project, metafile))
        self._metafile = metafile
        self._count = 0

    def resolve(self, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        scope = _Scope({}, set())
        params = os.path.join(self._folder, _PARAMS_FILE)
        self._add_file(params)
        if os.path.lexists(params):
            self._load_file(scope, _PARAMS_FILE, self._folder)
        self._load_vars(scope, content.get("vars", ()), self._folder)
        for section in _SECTIONS:
            interpolate(content.get(section), scope.context)
        stages: dict[str, dict[str, Any]] = {}
        for name, definition in content.get("stages", {}).items():
            if "@" in name:
                raise UnsupportedError
            if "matrix" in definition:
                template = {key: value for key, value in definition.items() if key != "matrix"}
                group = _combine(definition["matrix"], scope.context)
            elif "foreach" in definition:
                template = definition["do"]
                group = _list_items(definition["foreach"], scope.context)
            else:
                stages[name] = self._resolve_stage(definition, scope)
                continue
            for key, variables in group:
                if "@" in key:
                    raise UnsupportedError
                stages[f"{name}@{key}"] = self._resolve_stage(template, scope.add(variables))
        return stages

    def _resolve_stage(self, definition: Mapping[str, Any], scope: _Scope) -> dict[str, Any]:
        self._count += 1
        if self._count > _MAX_STAGES:
            raise CaptureError(self._metafile, f"it defines more than {_MAX_STAGES:,} stages")
        own = definition.get("vars")
        if own:
            wdir = interpolate(definition.get("wdir", ""), scope.context, "wdir")
            if not isinstance(wdir, str):
                raise UnsupportedError
            scope = scope.copy()
            self._load_vars(scope, own, os.path.join(self._folder, wdir) if wdir else self._folder)
        return {
            key: interpolate(value, scope.context, key)
            for key, value in definition.items()
            if key != "vars"
        }

    def _load_vars(self, scope: _Scope, items: Any, folder: str) -> None:
        for item in items:
            interpolate(item, {})  # DVC resolves no templates here: without variables, each fails
            if isinstance(item, str):
                self._load_file(scope, item, folder)
            else:
                _merge(scope.context, item, scope.reserved)

    def _load_file(self, scope: _Scope, item: str, folder: str) -> None:
        """Load variables from ``FILE`` or ``FILE:KEY,KEY``."""
        name, _, text = item.partition(":")
        path = os.path.normpath(os.path.join(folder, name))
        if path in scope.loaded:
            if text or item != _PARAMS_FILE:
                raise UnsupportedError  # perhaps only some keys were loaded before
            return
        scope.loaded.add(path)
        self._add_file(path)
        values = _read_values(path)
        if text:
            keys = [key for key in text.split(",") if key]
            if not all(key in values for key in keys):
                raise UnsupportedError
            values = {key: values[key] for key in keys}
        _merge(scope.context, values, scope.reserved)


def _list_items(foreach: Any, context: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and variables of each stage that a ``foreach`` stands for."""
    items = interpolate(foreach, context, "foreach")
    if isinstance(items, Mapping):
        for key, item in items.items():
            yield to_text(key), {"key": to_text(key), "item": item}
        return
    if not isinstance(items, list):
        raise UnsupportedError
    if isinstance(foreach, str):
        _refuse_booleans(items)
    has_composites = any(isinstance(item, (dict, list)) for item in items)
    by_name = {to_text(i if has_composites else item): item for i, item in enumerate(items)}
    for name, item in by_name.items():
        yield name, {"item": item}


def _combine(
    matrix: Mapping[str, Any], context: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and variables of each stage that a ``matrix`` stands for."""
    axes = interpolate(matrix, context, "foreach")
    for key, values in axes.items():
        if not isinstance(values, list):
            raise UnsupportedError
        if matrix[key] != values:
            _refuse_booleans(values)
    for combination in product(*(enumerate(values) for values in axes.values())):
        item = {}
        parts = []
        for axis, (index, value) in zip(axes, combination, strict=True):
            item[axis] = value
            is_composite = isinstance(value, (dict, list))
            parts.append(f"{axis}{index}" if is_composite else to_text(value))
        yield "-".join(parts), {"key": "-".join(parts), "item": item}


def _refuse_booleans(values: list[Any]) -> None:
    # DVC names stages after Python's True, not YAML's, if the list comes from a template.
    if any(type(value) is bool for value in values):
        raise UnsupportedError


def _read_values(path: str) -> dict[str, Any]:
    """The variables in a file."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".yaml", ".yml", ".json"):
        raise UnsupportedError
    try:
        data = read_file(path, path)
        values = json.loads(data) if suffix == ".json" else load_yaml(data)
    except (CaptureError, FormatError, ValueError, RecursionError):
        raise UnsupportedError from None
    if not isinstance(values or {}, dict):
        raise UnsupportedError
    return values or {}


def _merge(into: dict[str, Any], update: Mapping[Any, Any], reserved: tuple[str, ...] = ()) -> None:
    """Add variables to a context. DVC refuses to redefine one."""
    for key, value in update.items():
        if not isinstance(key, str):
            continue
        if key in reserved:
            raise UnsupportedError
        present = into.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            _merge(present, value)
        elif key in into:
            raise UnsupportedError
        else:
            into[key] = _to_variable(value)


def _to_variable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_variable(v) for key, v in value.items() if isinstance(key, str)}
    if isinstance(value, list):
        return [_to_variable(v) for v in value]
    if isinstance(value, Timestamp):
        raise UnsupportedError
    return value


def _copy(context: dict[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, dict) else v for k, v in context.items()}
