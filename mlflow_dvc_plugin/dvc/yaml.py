"""Read and write metafiles with DVC's own YAML, which keeps comments and order.

This is apart from the rest of the door, because importing all of DVC takes a second.
"""

from __future__ import annotations

from typing import Any

from mlflow_dvc_plugin.errors import DvcError


def load_yaml(data: bytes) -> Any:
    """Read a metafile into a form that keeps comments and order when it is written."""
    from dvc.utils.serialize import parse_yaml_for_update

    try:
        return parse_yaml_for_update(data.decode(), "metafile")
    except Exception as err:  # the parser trips over odd YAML in many ways
        raise DvcError(f"not valid YAML: {err}") from err


def dump_yaml(document: Any) -> bytes:
    """Write a metafile in DVC's layout."""
    from dvc.utils.serialize import dumps_yaml

    text: str = dumps_yaml(document)
    return text.encode()
