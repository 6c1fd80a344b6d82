"""The DVC configuration of a project, as far as capture needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

# Section -> key -> value; the section of a remote is `remote "name"`.
Config = dict[str, dict[str, str]]

_MAX_BYTES = 1 << 20


def load_config(project: str, add_file: Callable[[str], None] = lambda _: None) -> Config:
    """Merge DVC's system, global, project and local configuration.

    A file that cannot be read counts as absent: no setting in it decides which
    outs there are, and DVC itself reports a broken configuration.
    """
    merged: Config = {}
    own = os.path.join(project, ".dvc")
    for folder, name in (*_find_shared_files(), (own, "config"), (own, "config.local")):
        path = os.path.join(folder, name)
        add_file(path)
        for section, values in read_sections(path):
            if section == "cache" and "dir" in values:
                # A relative path starts at the folder of the file that contains it.
                cache = os.path.expanduser(values["dir"])
                values["dir"] = os.path.normpath(os.path.join(folder, cache))
            merged.setdefault(section, {}).update(values)
    return merged


def read_sections(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the sections of a DVC or Git configuration file; none if it cannot be read."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return
    section = ""
    keys: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and "]" in line:
            yield section, keys
            section, keys = _unquote(line[1 : line.rindex("]")]), {}
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            if equals:
                keys[_unquote(key).lower()] = _unquote(value)
    yield section, keys


def find_default_remote(config: Config) -> str | None:
    """Name of the default remote."""
    return config.get("core", {}).get("remote", "").lower() or None


def find_remote_url(config: Config, name: str) -> str | None:
    """URL of a remote; None if it is not configured."""
    for section, values in config.items():
        kind, _, remote = section.partition(" ")
        if kind == "remote" and remote.strip(" \"'").lower() == name.lower():
            return values.get("url")
    return None


def find_cache_dir(config: Config, project: str) -> str:
    """The project's cache folder."""
    return config.get("cache", {}).get("dir") or os.path.join(project, ".dvc", "cache")


def uses_git(config: Config) -> bool:
    """Does DVC work with Git here (no ``core.no_scm``)?"""
    return config.get("core", {}).get("no_scm", "").lower() not in ("true", "yes", "on", "1")


def _find_shared_files() -> Iterator[tuple[str, str]]:
    """Folder and name of the system's and the user's configuration file."""
    home = os.path.expanduser("~")
    environ = os.environ
    if sys.platform == "darwin":
        system, user = "/Library/Application Support/dvc", f"{home}/Library/Application Support/dvc"
    elif os.name == "nt":
        system = os.path.join(environ.get("PROGRAMDATA", "C:\\ProgramData"), "iterative", "dvc")
        local = environ.get("LOCALAPPDATA", os.path.join(home, "AppData", "Local"))
        user = os.path.join(local, "iterative", "dvc")
    else:
        dirs = environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)[0] or "/etc/xdg"
        system = os.path.join(dirs, "dvc")
        base = environ.get("XDG_CONFIG_HOME", "").strip() or os.path.join(home, ".config")
        user = os.path.join(base, "dvc")
    yield environ.get("DVC_SYSTEM_CONFIG_DIR") or system, "config"
    yield environ.get("DVC_GLOBAL_CONFIG_DIR") or user, "config"


def _unquote(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        return text[1:end] if end > 0 else text
    return text.partition(" #")[0].strip()
