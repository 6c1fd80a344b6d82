"""``.dvc`` files."""

from __future__ import annotations

from typing import Any

from mlflow_dvc_plugin.capturing.formats import canonical as plain
from mlflow_dvc_plugin.capturing.formats.stages import Locator, Stage, recorded_out
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.state import Kind


def parse(data: bytes) -> dict[str, Any]:
    """The content of a ``.dvc`` file, as far as capture needs it.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    found = plain.dvcfile(data)
    if found is not None:
        return found
    from mlflow_dvc_plugin.capturing.formats import schema
    from mlflow_dvc_plugin.capturing.formats.yaml import load

    content = load(data) or {}
    schema.dvcfile(content, "")
    return dict(content)


def stages(content: dict[str, Any], metafile: str, locator: Locator) -> list[Stage]:
    """The one stage that a ``.dvc`` file stands for.

    Raises:
        CaptureError: DVC refuses a path in it.
    """
    deps = content.get("deps") or []
    outs = content.get("outs") or []
    folder = locator.folder(metafile, content.get("wdir"))
    kind = _kind(deps, outs)
    found = []
    for out in outs:
        if "path" not in out:
            raise CaptureError(metafile, "an out in it has no path")
        place = folder.place(out["path"])
        found.append(
            recorded_out(
                place,
                out,
                hash_name=out.get("hash"),
                metafile=metafile,
                cached=out.get("cache", True),
                remote=out.get("remote"),
                push=out.get("push", True),
                kind=kind,
            )
        )
    reads = [
        dep["path"] for dep in deps if dep.get("path") and "repo" not in dep and "db" not in dep
    ]
    folder.check(reads)
    return [Stage(None, None, metafile, folder, reads, tuple(found))]


def _kind(deps: list[dict[str, Any]], outs: list[dict[str, Any]]) -> Kind:
    if len(deps) != 1 or len(outs) != 1 or "db" in deps[0]:
        return "plain"
    return "import" if "repo" in deps[0] else "import-url"
