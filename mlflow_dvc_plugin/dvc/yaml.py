"""The door to DVC's way of reading and writing metafiles.

It keeps comments and order, and lays out what it writes as DVC does. Apart
from the rest of the door, since importing all of DVC takes a while.
"""

from __future__ import annotations

from typing import Any

from mlflow_dvc_plugin.errors import DvcError


def load_yaml(data: bytes) -> Any:
    """A metafile's content, in a form that keeps comments and order when dumped.

    Raises:
        DvcError: it is not valid YAML.
    """
    from dvc.utils.serialize import ParseError, parse_yaml_for_update

    try:
        return parse_yaml_for_update(data.decode(), "metafile")
    except (ParseError, UnicodeDecodeError) as err:
        raise DvcError(f"not valid YAML: {err}") from err


def dump_yaml(document: Any) -> bytes:
    """A metafile's bytes, laid out as DVC does."""
    from dvc.utils.serialize import dumps_yaml

    text: str = dumps_yaml(document)
    return text.encode()
