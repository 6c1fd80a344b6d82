"""Settings: environment variables, then ``[tool.mlflow-dvc]`` of pyproject.toml.

They are read at each capture, so that a notebook or a test can change them
between two runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.named_tuple import NamedTuple

PREFIX = "MLFLOW_DVC_"
# Where torchrun, Open MPI and Slurm say which of the processes of a job this is.
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
DEFAULT_AUTOLOG_PARTS = ("datasets", "artifacts", "params", "metrics", "plots", "models")
AUTOLOG_PARTS = (*DEFAULT_AUTOLOG_PARTS, "report")


class Settings(NamedTuple):
    """What a user can set."""

    disable: bool = False  # capture nothing
    root: str | None = None  # the project's folder; None to search for it
    include: tuple[str, ...] = ()  # gitwildmatch patterns; only outs that match are in the state
    exclude: tuple[str, ...] = ()  # gitwildmatch patterns; outs that match are not in the state
    max_path_tags: int = 20  # how many `dvc.data.<path>` tags a run gets at most
    status_budget_ms: int = 100  # with 0, the status is always `unverified`
    state: str | None = None  # a file written by `mlflow-dvc export`
    children: str = "reference"  # or `full`: child runs repeat the manifest of their parent
    url: str | None = None  # address of a DVC remote, for data outside a clone of the project
    autolog: tuple[str, ...] = ()  # of `AUTOLOG_PARTS`: what to log in addition to tags
    # Save modified outs when a run starts; with gitwildmatch patterns, also data that DVC
    # does not track.
    save: bool | tuple[str, ...] = False
    save_max: int | None = None  # how many bytes to save for one run at most
    command: bool = True  # record the command of a run, and code that was not committed

    @property
    def save_patterns(self) -> tuple[str, ...]:
        """The patterns of data to save that DVC does not track."""
        return self.save if isinstance(self.save, tuple) else ()


class Source(NamedTuple):
    """Where the value of a setting comes from; `problem` says what is wrong with it."""

    name: str
    value: object
    source: Literal["environment", "pyproject.toml", "default"]
    problem: str = ""


def load_settings(project: str | None = None) -> Settings:
    """The settings of the environment, which win over those of a project's pyproject.toml."""
    values = _read_pyproject(os.path.join(project, "pyproject.toml")) if project else {}
    values.update({name: text for name, key in _KEYS.items() if (text := os.environ.get(key))})
    if not values:
        return _DEFAULT
    return Settings(**{name: _PARSERS[name](_KEYS[name], value) for name, value in values.items()})


def list_sources(project: str | None = None) -> list[Source]:
    """Each setting with its value as it is written where it comes from; broken ones, too."""
    table, problem = {}, ""
    if project:
        try:
            table = _read_pyproject(os.path.join(project, "pyproject.toml"))
        except SettingsError as err:
            problem = str(err)
    found = [Source("[tool.mlflow-dvc]", "", "pyproject.toml", problem)] if problem else []
    for name, key in _KEYS.items():
        text = os.environ.get(key)
        if not text and name not in table:
            found.append(Source(key, getattr(_DEFAULT, name), "default"))
            continue
        value = text or table[name]
        try:
            _PARSERS[name](key, value)
        except SettingsError as err:
            problem = str(err)
        else:
            problem = ""
        found.append(Source(key, value, "environment" if text else "pyproject.toml", problem))
    return found


def is_first_process() -> bool:
    """Is this the first process of a distributed job, which acts for all, or no such job?"""
    ranks = [os.environ.get(name, "") for name in _RANKS]
    return not any(rank.isdecimal() and int(rank) > 0 for rank in ranks)


def _read_pyproject(path: str) -> dict[str, Any]:
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
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise SettingsError("[tool.mlflow-dvc]", unknown[0], ", ".join(_KEYS))
    return dict(table)


def _parse_bool(key: str, value: object) -> bool:
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise SettingsError(key, value, "1 or 0")


def _parse_count(key: str, value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise SettingsError(key, value, "a whole number, 0 or larger")
    return number


def _parse_text(key: str, value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    raise SettingsError(key, value, "a string")


def _parse_patterns(key: str, value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(p, str) for p in parts):
        raise SettingsError(key, value, "patterns, separated by commas")
    return tuple(p.strip() for p in parts if p.strip())


def _parse_children(key: str, value: object) -> str:
    if value in ("reference", "full"):
        return str(value)
    raise SettingsError(key, value, "reference or full")


def _parse_autolog(key: str, value: object) -> tuple[str, ...]:
    try:
        return DEFAULT_AUTOLOG_PARTS if _parse_bool(key, value) else ()
    except SettingsError:
        pass
    parts = _parse_patterns(key, value)
    if not set(parts) <= set(AUTOLOG_PARTS):
        raise SettingsError(key, value, f"1, 0, or some of {', '.join(AUTOLOG_PARTS)}")
    return parts


def _parse_save(key: str, value: object) -> bool | tuple[str, ...]:
    try:
        return _parse_bool(key, value)
    except SettingsError:
        return _parse_patterns(key, value) or False


def _parse_size(key: str, value: object) -> int:
    text = str(value).strip().lower().removesuffix("b")
    digits = text.rstrip("kmgti ")
    try:
        return int(float(digits) * _UNITS[text[len(digits) :].strip()])
    except (ValueError, KeyError, OverflowError):
        raise SettingsError(key, value, "a size such as 20GB") from None


_UNITS = {
    unit + suffix: base**power
    for suffix, base in (("", 1000), ("i", 1024))
    for power, unit in enumerate(("", "k", "m", "g", "t"))
}
_DEFAULT = Settings()
_KEYS = {name: PREFIX + name.upper() for name in Settings._fields}
_PARSERS: dict[str, Callable[[str, object], Any]] = {
    "disable": _parse_bool,
    "root": _parse_text,
    "include": _parse_patterns,
    "exclude": _parse_patterns,
    "max_path_tags": _parse_count,
    "status_budget_ms": _parse_count,
    "state": _parse_text,
    "children": _parse_children,
    "url": _parse_text,
    "autolog": _parse_autolog,
    "save": _parse_save,
    "save_max": _parse_size,
    "command": _parse_bool,
}
