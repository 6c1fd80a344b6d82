"""The configuration of a project that is only there to reach a remote."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from dvc.config import Config
from dvc.exceptions import DvcException

from mlflow_dvc_plugin.dvc.errors import describe_error
from mlflow_dvc_plugin.errors import DvcError

# No remote of the user's own configuration has this name.
_NAME = "mlflow-dvc-url"


def build_config(url: str, file: str, cache: str, site: str) -> dict[str, Any]:
    """Build a configuration from the address of a remote, or from a DVC configuration file.

    Args:
        url: a remote's address, which becomes the default remote; or empty.
        file: a DVC configuration file. A relative path in it is relative to its
            folder, as DVC reads it.
        cache: the folder of the cache; empty for the one that the configuration
            names, or else for the project's own.
        site: the folder for what DVC notes about the project.
    """
    if url:
        config: dict[str, Any] = {
            "core": {"remote": _NAME},
            "remote": {_NAME: {"url": _to_address(url)}},
        }
    else:
        config = _read_file(file)
    config["core"].update(no_scm=True, site_cache_dir=site)
    if cache:
        config.setdefault("cache", {})["dir"] = cache
    return config


def _to_address(url: str) -> str:
    """Make the path of a folder absolute; any other address stays as it is."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return unquote(parts.path)
    return url if "://" in url else os.path.abspath(os.path.expanduser(url))


def _read_file(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise DvcError(f"There is no DVC configuration file {path}.")
    try:
        reader = Config(validate=False)
        reader.files["repo"] = path
        config: dict[str, Any] = reader.load_one("repo")
    except (DvcException, OSError) as err:
        raise DvcError(
            f"{path} cannot be read as DVC's configuration: {describe_error(err)}"
        ) from err
    return config
