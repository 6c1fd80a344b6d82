"""Stage definitions of ``dvc.yaml`` without their templates.

The everyday part of DVC's template language is resolved here: ``${name.key}``
from ``params.yaml``, ``vars`` and files, ``foreach`` and ``matrix``. Whatever
goes beyond it, every error included, is put to DVC itself
(:mod:`mlflow_dvc_plugin.capturing.formats.resolver`), which alone can say what it means.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from mlflow_dvc_plugin.capturing import files
from mlflow_dvc_plugin.capturing.formats import yaml as document
from mlflow_dvc_plugin.capturing.formats.pipeline import has_templates, is_group
from mlflow_dvc_plugin.errors import CaptureError

_PARAMS_FILE = "params.yaml"
_TEMPLATE = re.compile(r"(?<!\\)\${(.*?)}")
# A name with keys or indices: what is read alike by DVC's two parsers.
_EXPRESSION = re.compile(r"[^\s.\[\]{}$\\]+(?:\.[^\s.\[\]{}$\\]+|\[[^\s.\[\]{}$\\]+\])*")
_SECTIONS = ("metrics", "params", "plots", "artifacts", "datasets")
_MAX_STAGES = 200_000


class _BeyondError(Exception):
    """This is for DVC to say."""


def resolve(
    content: Mapping[str, Any],
    data: bytes,
    project: str,
    metafile: str,
    look: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, Any]]:
    """The definition of every stage, by name.

    Args:
        content: the parsed ``dvc.yaml``.
        data: its bytes.
        project: absolute path of the project.
        metafile: path of the ``dvc.yaml``, relative to the project.
        look: told the path of every other file that it depends on.

    Raises:
        CaptureError: DVC cannot resolve it, or would have to but is not there.
    """
    stages: dict[str, dict[str, Any]] = content.get("stages", {})
    if not has_templates(content, data):
        return stages
    try:
        return _Resolver(project, metafile, content, look).resolve(content)
    except _BeyondError:
        from mlflow_dvc_plugin.capturing.formats.resolver import ask

        return ask(data, project, metafile, look)


class _Resolver:
    """Resolves the templates of one ``dvc.yaml``."""

    def __init__(
        self,
        project: str,
        metafile: str,
        content: Mapping[str, Any],
        look: Callable[[str], None],
    ) -> None:
        self._look = look
        self._folder = os.path.dirname(os.path.join(project, metafile))
        self._context: dict[str, Any] = {}
        self._loaded: set[str] = set()
        self._metafile = metafile
        self._count = 0
        look(os.path.join(self._folder, _PARAMS_FILE))
        if os.path.lexists(os.path.join(self._folder, _PARAMS_FILE)):
            self._load(self._context, self._loaded, _PARAMS_FILE, self._folder)
        self._load_vars(self._context, self._loaded, content.get("vars", ()), self._folder)

    def resolve(self, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        for section in _SECTIONS:
            _resolved(content.get(section), self._context, None)
        found: dict[str, dict[str, Any]] = {}
        for name, definition in content.get("stages", {}).items():
            if "@" in name:
                raise _BeyondError
            if not is_group(definition):
                found[name] = self._stage(definition, self._context)
            else:
                for key, stage in self._group(definition):
                    if "@" in key:
                        raise _BeyondError
                    found[f"{name}@{key}"] = stage
        return found

    def _group(self, definition: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        if "matrix" in definition:
            template = {key: value for key, value in definition.items() if key != "matrix"}
            for key, item in self._combinations(definition["matrix"]):
                context = {**self._context, "key": key, "item": item}
                yield key, self._stage(template, context, reserved={"key", "item"})
            return
        items = _resolved(definition["foreach"], self._context, "foreach")
        if isinstance(items, Mapping):
            for key, item in items.items():
                name = _text(key)
                context = {**self._context, "key": name, "item": item}
                yield name, self._stage(definition["do"], context, reserved={"key", "item"})
        elif isinstance(items, list):
            composite = any(isinstance(item, (dict, list)) for item in items)
            if isinstance(definition["foreach"], str) and any(type(i) is bool for i in items):
                raise _BeyondError  # DVC names these after Python's True, not YAML's
            named = {_text(i if composite else item): item for i, item in enumerate(items)}
            for name, item in named.items():
                context = {**self._context, "item": item}
                yield name, self._stage(definition["do"], context, reserved={"item"})
        else:
            raise _BeyondError

    def _combinations(self, matrix: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        axes = _resolved(matrix, self._context, "foreach")
        for key, values in axes.items():
            if not isinstance(values, list):
                raise _BeyondError
            if matrix[key] != values and any(type(value) is bool for value in values):
                raise _BeyondError  # as above
        for chosen in product(*(enumerate(values) for values in axes.values())):
            item = {}
            parts = []
            for axis, (index, value) in zip(axes, chosen, strict=True):
                item[axis] = value
                composite = isinstance(value, (dict, list))
                parts.append(f"{axis}{index}" if composite else _text(value))
            yield "-".join(parts), item

    def _stage(
        self,
        definition: Mapping[str, Any],
        context: dict[str, Any],
        reserved: frozenset[str] | set[str] = frozenset(),
    ) -> dict[str, Any]:
        self._count += 1
        if self._count > _MAX_STAGES:
            raise CaptureError(self._metafile, f"it defines more than {_MAX_STAGES:,} stages")
        own = definition.get("vars")
        if own:
            wdir = _resolved(definition.get("wdir", ""), context, "wdir")
            if not isinstance(wdir, str):
                raise _BeyondError
            context = _copied(context)
            loaded = set(self._loaded)
            folder = os.path.join(self._folder, wdir) if wdir else self._folder
            self._load_vars(context, loaded, own, folder, reserved)
        return {
            key: _resolved(value, context, key)
            for key, value in definition.items()
            if key != "vars"
        }

    def _load_vars(
        self,
        context: dict[str, Any],
        loaded: set[str],
        items: Any,
        folder: str,
        reserved: frozenset[str] | set[str] = frozenset(),
    ) -> None:
        for item in items:
            _no_templates(item)
            if isinstance(item, str):
                self._load(context, loaded, item, folder, reserved)
            else:
                _merge(context, item, reserved)

    def _load(
        self,
        context: dict[str, Any],
        loaded: set[str],
        item: str,
        folder: str,
        reserved: frozenset[str] | set[str] = frozenset(),
    ) -> None:
        name, _, keys = item.partition(":")
        path = os.path.normpath(os.path.join(folder, name))
        if path in loaded:
            if keys or item != _PARAMS_FILE:
                raise _BeyondError  # loaded in parts, perhaps
            return
        loaded.add(path)
        self._look(path)
        values = _values(path)
        if keys:
            chosen = [key for key in keys.split(",") if key]
            if not all(key in values for key in chosen):
                raise _BeyondError
            values = {key: values[key] for key in chosen}
        _merge(context, values, reserved)


def _values(path: str) -> dict[str, Any]:
    """What a params file holds."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".yaml", ".yml", ".json"):
        raise _BeyondError
    try:
        data = files.read(path, path)
        values = json.loads(data) if suffix == ".json" else document.load(data)
    except (CaptureError, document.DocumentError, ValueError, RecursionError):
        raise _BeyondError from None
    if not isinstance(values or {}, dict):
        raise _BeyondError
    return values or {}


def _merge(into: dict[str, Any], update: Mapping[Any, Any], reserved: Any = ()) -> None:
    """Add values to a context; DVC refuses to redefine one."""
    for key, value in update.items():
        if not isinstance(key, str):
            continue
        if key in reserved:
            raise _BeyondError
        present = into.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            _merge(present, value)
        elif key in into:
            raise _BeyondError
        else:
            into[key] = _context_value(value)


def _context_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _context_value(v) for key, v in value.items() if isinstance(key, str)}
    if isinstance(value, list):
        return [_context_value(v) for v in value]
    if isinstance(value, document.Timestamp):
        raise _BeyondError
    return value


def _copied(context: dict[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in context.items()}


def _no_templates(value: Any) -> None:
    if isinstance(value, str):
        if _TEMPLATE.search(value):
            raise _BeyondError
    elif isinstance(value, dict):
        for key, item in value.items():
            _no_templates(key)
            _no_templates(item)
    elif isinstance(value, list):
        for item in value:
            _no_templates(item)


def _resolved(value: Any, context: Mapping[str, Any], key: str | None) -> Any:
    """A value of ``dvc.yaml`` with its templates resolved; `key` says what of."""
    if isinstance(value, str):
        return _resolved_text(value, context, key) if "${" in value else value
    if isinstance(value, dict):
        return {_resolved(k, context, key): _resolved(v, context, key) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolved(item, context, key) for item in value]
    return value


def _resolved_text(text: str, context: Mapping[str, Any], key: str | None) -> Any:
    def selected(match: re.Match[str]) -> Any:
        value = _select(context, match.group(1).strip())
        if isinstance(value, (dict, list)):
            allowed = key is None or key == "foreach" or (key == "cmd" and isinstance(value, dict))
            if not allowed:
                raise _BeyondError
        return value

    whole = _TEMPLATE.fullmatch(text)
    if whole and len(_TEMPLATE.findall(text)) == 1:
        return selected(whole)

    def written(match: re.Match[str]) -> str:
        value = selected(match)
        if isinstance(value, list):
            raise _BeyondError
        if isinstance(value, dict):
            # Options on a command line, which is not part of the state.
            if not all(_is_option(option) for option in _leaves(value)):
                raise _BeyondError
            return ""
        return _text(value)

    return _TEMPLATE.sub(written, text).replace(r"\${", "${")


def _leaves(value: Any) -> Iterator[Any]:
    for item in value.values():
        if isinstance(item, dict):
            yield from _leaves(item)
        else:
            yield item


def _is_option(value: Any) -> bool:
    return not isinstance(value, list) or not any(isinstance(v, (dict, list)) for v in value)


def _select(context: Any, expression: str) -> Any:
    if not _EXPRESSION.fullmatch(expression):
        raise _BeyondError
    value = context
    try:
        for part in expression.replace("[", ".").replace("]", "").split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
    except (LookupError, TypeError, ValueError):
        raise _BeyondError from None
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
