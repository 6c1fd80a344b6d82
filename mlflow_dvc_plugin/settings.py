"""Settings: environment variables, then ``[tool.mlflow-dvc]`` of pyproject.toml.

They are read anew at each capture, so that a notebook or a test can change
them between two runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_dvc_plugin.errors import SettingsError

PREFIX = "MLFLOW_DVC_"
AUTOLOG_PARTS = ("datasets", "artifacts", "params", "metrics", "plots")


@dataclass(frozen=True)
class Settings:
    """What a user can choose.

    Attributes:
        disable: capture nothing.
        root: the project's folder; None to look for it.
        include: gitwildmatch patterns; only outs that match are in the state.
        exclude: gitwildmatch patterns; outs that match are not in the state.
        max_path_tags: how many ``dvc.data.<path>`` tags a run gets at most.
        status_budget_ms: milliseconds that ``dvc.status`` may take; 0 for
            always ``unverified``.
        state: a file written by ``mlflow-dvc export``.
        autolog: what to log of each run beside tags: `AUTOLOG_PARTS`, or some.
    """

    disable: bool = False
    root: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_path_tags: int = 20
    status_budget_ms: int = 100
    state: str | None = None
    autolog: tuple[str, ...] = ()


_DEFAULT = Settings()
_KEYS = {name: PREFIX + name.upper() for name in Settings.__dataclass_fields__}


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment alone, before a project is known.

    Raises:
        SettingsError: a variable has a value that cannot be used.
    """
    return _build(_environment(os.environ if environ is None else environ))


def for_project(project: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings for a project: its pyproject.toml, then the environment, which wins.

    Raises:
        SettingsError: a setting has a value that cannot be used, or
            pyproject.toml cannot be read.
    """
    values = _pyproject(os.path.join(project, "pyproject.toml"))
    values.update(_environment(os.environ if environ is None else environ))
    return _build(values)


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {name: environ.get(key) for name, key in _KEYS.items()}
    return {name: value for name, value in found.items() if value}


def _pyproject(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    # Most projects have no such table: do not pay for a TOML parser.
    if b"mlflow-dvc" not in data:
        return {}
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib
    try:
        table = tomllib.loads(data.decode()).get("tool", {}).get("mlflow-dvc", {})
    except (ValueError, AttributeError) as err:
        raise SettingsError("pyproject.toml", str(err), "valid TOML") from err
    if not isinstance(table, dict):
        raise SettingsError("[tool.mlflow-dvc]", table, "a table")
    unknown = sorted(set(table) - set(Settings.__dataclass_fields__))
    if unknown:
        raise SettingsError(
            "[tool.mlflow-dvc]", unknown[0], ", ".join(Settings.__dataclass_fields__)
        )
    return dict(table)


def _build(values: Mapping[str, Any]) -> Settings:
    if not values:
        return _DEFAULT
    return Settings(
        disable=_bool("disable", values.get("disable", False)),
        root=_text("root", values.get("root")),
        include=_patterns("include", values.get("include", ())),
        exclude=_patterns("exclude", values.get("exclude", ())),
        max_path_tags=_int("max_path_tags", values.get("max_path_tags", 20)),
        status_budget_ms=_int("status_budget_ms", values.get("status_budget_ms", 100)),
        state=_text("state", values.get("state")),
        autolog=_parts("autolog", values.get("autolog", False)),
    )


def _name(key: str) -> str:
    return _KEYS[key]


def _bool(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise SettingsError(_name(key), value, "1 or 0")


def _parts(key: str, value: object) -> tuple[str, ...]:
    try:
        return AUTOLOG_PARTS if _bool(key, value) else ()
    except SettingsError:
        pass
    parts = _patterns(key, value)
    if not set(parts) <= set(AUTOLOG_PARTS):
        raise SettingsError(_name(key), value, f"1, 0, or some of {', '.join(AUTOLOG_PARTS)}")
    return parts


def _int(key: str, value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise SettingsError(_name(key), value, "a whole number from 0 up")
    return number


def _text(key: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise SettingsError(_name(key), value, "a text")


def _patterns(key: str, value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(p, str) for p in parts):
        raise SettingsError(_name(key), value, "patterns, separated by commas")
    return tuple(p.strip() for p in parts if p.strip())
