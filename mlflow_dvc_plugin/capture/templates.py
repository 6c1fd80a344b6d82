"""Templates."""
from __future__ import annotations
from typing import Any
from mlflow_dvc_plugin.errors import CaptureError

def resolve(content: dict[str, Any], project: str, metafile: str) -> dict[str, Any]:
    stages = content.get("stages") or {}
    if "${" in repr(content) or any(k in s for s in stages.values() for k in ("foreach", "matrix")):
        raise CaptureError(metafile, "templates are not supported yet")
    return dict(stages)
