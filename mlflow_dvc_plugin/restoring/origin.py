"""Where the bytes of a run's data come from: a project, or a remote that the user names."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.errors import NoOriginError, OptionsError
from mlflow_dvc_plugin.settings import load_settings


class Origin(NamedTuple):
    """Where the bytes of a run's data come from. What it does not name is empty.

    Attributes:
        project: absolute path of a project, with a cache, remotes and metafiles.
        url: the address of a DVC remote, if there is no project.
        config: absolute path of a DVC configuration file, if there is no project.
        cache: absolute path of a cache to use with `url` or `config`.
    """

    project: str = ""
    url: str = ""
    config: str = ""
    cache: str = ""


def find_origin(
    project: str | None = None,
    url: str | None = None,
    config: str | None = None,
    cache: str | None = None,
) -> Origin:
    """Find out where to get data from: what the user names, a project, or ``MLFLOW_DVC_URL``.

    Raises:
        NoOriginError: it is none of these.
    """
    if url and config:
        raise OptionsError("--url and --config cannot be combined.")
    if not (url or config):
        root = find_project(project)
        if root is not None:
            if cache:
                raise OptionsError("--cache needs --url or --config: the project has a cache.")
            return Origin(project=root)
        url = load_settings().url
    if not (url or config):
        raise NoOriginError(project or os.getcwd())
    paths = [os.path.abspath(os.path.expanduser(path)) if path else "" for path in (config, cache)]
    return Origin("", url or "", *paths)


def make_project(origin: Origin, home: str) -> dict[str, Any]:
    """Make a project without metafiles in `home`, a folder that exists, to reach a remote.

    Its cache is there, too, unless the user named one. Returns the configuration to
    open it with.
    """
    from mlflow_dvc_plugin.dvc.remote_config import build_config

    site = os.path.join(home, ".dvc", "site")
    config = build_config(origin.url, origin.config, origin.cache, site)
    os.makedirs(os.path.join(home, ".dvc"), exist_ok=True)
    return config
