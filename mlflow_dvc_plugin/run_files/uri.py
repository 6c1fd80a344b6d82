"""Addresses of a run's data: ``mlflow-dvc://RUN/PATH``."""

from __future__ import annotations

import re

from mlflow_dvc_plugin.errors import RunNotFoundError

PROTOCOL = "mlflow-dvc"
_PREFIX = f"{PROTOCOL}://"
_URI = re.compile(
    _PREFIX
    # A logged model of MLflow 3, a version of a model, or a run.
    + r"(models:/m-[0-9a-f]{32}|models:/[^/@]+(?:@[^/]+|/[^/]+)|runs:/[^/]+|(?!models:|runs:)[^/]+)"
    r"/*(?:(?<=/)(.*))?",
    re.DOTALL,
)


def parse_uri(uri: str) -> tuple[str, str]:
    """The run and the path in an address.

    Raises:
        RunNotFoundError: it has another form.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise RunNotFoundError(
            f"{uri[:200]!r} is not the address of a run's data. Give mlflow-dvc://RUN/PATH, where "
            "RUN is a run id, models:/NAME/VERSION or models:/NAME@ALIAS."
        )
    return match[1], (match[2] or "").strip("/")


def build_uri(run: str, path: str) -> str:
    """The address of a path of a run's data."""
    return f"{_PREFIX}{run}/{path}"


def strip_protocol(path: str) -> str:
    """The path, relative to the run's project, of an address or of a path."""
    if path.startswith(_PREFIX):
        return parse_uri(path)[1]
    return path.strip("/")
