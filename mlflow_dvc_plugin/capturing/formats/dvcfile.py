"""``.dvc`` files."""

from __future__ import annotations

from typing import Any

from mlflow_dvc_plugin.capturing.dvc_config import Config
from mlflow_dvc_plugin.capturing.formats import regex_parser
from mlflow_dvc_plugin.capturing.formats.outs import Stage, build_out
from mlflow_dvc_plugin.capturing.formats.paths import WorkingDir
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.state import Kind


def parse_dvcfile(data: bytes) -> dict[str, Any]:
    """Parse what capture needs of a ``.dvc`` file, or raise a FormatError."""
    return regex_parser.parse_dvcfile(data) or regex_parser.load_as_yaml(data, "DVCFILE")


def build_stage(content: dict[str, Any], metafile: str, project: str, config: Config) -> Stage:
    """Build the stage that a ``.dvc`` file stands for."""
    deps = content.get("deps") or []
    outs = content.get("outs") or []
    folder = WorkingDir(project, config, metafile, content.get("wdir"))
    kind: Kind = "plain"
    if len(deps) == len(outs) == 1 and "db" not in deps[0]:
        kind = "import" if "repo" in deps[0] else "import-url"
    found = []
    for out in outs:
        if "path" not in out:
            raise CaptureError(metafile, "an out has no path")
        found.append(build_out(folder.locate(out["path"]), out, out, metafile=metafile, kind=kind))
    dep_paths = [
        dep["path"] for dep in deps if dep.get("path") and "repo" not in dep and "db" not in dep
    ]
    folder.check_deps(dep_paths)
    return Stage(None, None, metafile, folder, dep_paths, tuple(found))
