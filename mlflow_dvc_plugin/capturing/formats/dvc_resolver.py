"""Templates of a ``dvc.yaml``, resolved by DVC itself in a subprocess.

DVC is never imported in the process that captures. The result is saved with the
hashes of all files that it depends on, so each version of DVC runs once for each content.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from mlflow_dvc_plugin.capturing.formats.dvc_resolver_process import hash_file
from mlflow_dvc_plugin.capturing.memory import saved_results
from mlflow_dvc_plugin.errors import CaptureError

TIMEOUT_SECONDS = 60
_ATTEMPTS = 3


def resolve_with_dvc(
    data: bytes, project: str, metafile: str, add_file: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Resolve the stages of the ``dvc.yaml`` at `metafile`, whose bytes are `data`.

    `add_file` is called with the path of every other file that the result depends on.
    """
    version = _read_dvc_version(add_file)
    what = f"templates\0{project}\0{metafile}\0{version}"
    saved_at = saved_results.result_path(project, what, data)
    result = saved_results.load_result(saved_at)
    for attempt in range(_ATTEMPTS + 1):
        if _is_valid(result):
            hashes = {os.path.join(project, name): each for name, each in result["files"].items()}
            for path in hashes:
                add_file(path)
            # DVC reads the files itself. The hashes were taken before, so the
            # result holds only if no program wrote to the files meanwhile.
            if all(hash_file(path) == value for path, value in hashes.items()):
                stages: dict[str, dict[str, Any]] = result["stages"]
                return stages
        if attempt < _ATTEMPTS:
            result = _run_dvc(data, project, metafile)
            if "error" in result:
                for name in result.get("files", ()):
                    add_file(os.path.join(project, name))
                raise CaptureError(metafile, result["error"])
            saved_results.save_result(saved_at, result)
    raise CaptureError(metafile, "files that its templates use change while they are read")


def _read_dvc_version(add_file: Callable[[str], None]) -> str:
    """What the installed DVC says of its version; empty without DVC."""
    spec = importlib.util.find_spec("dvc")
    if spec is None or spec.origin is None:
        return ""
    path = os.path.join(os.path.dirname(spec.origin), "_version.py")
    add_file(path)
    return hash_file(path) or ""


def _run_dvc(data: bytes, project: str, metafile: str) -> dict[str, Any]:
    if not sys.executable:
        raise CaptureError(
            metafile, "its templates need DVC, and there is no Python interpreter to run DVC with"
        )
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dvc_resolver_process.py")
    # The path has neither the script's folder nor the working directory, so that a
    # project's own dvc.py or yaml.py is not imported.
    code = "import runpy, sys; del sys.path[0]; runpy.run_path(sys.argv[1], run_name='__main__')"
    request = {"project": project, "metafile": metafile, "text": data.decode("utf-8")}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, script],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            env=_build_environment(),
            cwd=project,
        )
    except subprocess.TimeoutExpired as err:
        raise CaptureError(
            metafile, f"DVC did not resolve its templates within {TIMEOUT_SECONDS} s"
        ) from err
    except OSError as err:
        raise CaptureError(metafile, f"its templates need DVC, and DVC cannot run: {err}") from err
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        result = None
    if isinstance(result, dict) and ("error" in result or _is_valid(result)):
        return result
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    reason = f": {last[0][:200]}" if last else ""
    raise CaptureError(metafile, f"DVC could not resolve its templates{reason}")


def _build_environment() -> dict[str, str]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MLFLOW_") and name not in ("DVC_STAGE", "PYTHONSTARTUP")
    }
    return {**environ, "DVC_NO_ANALYTICS": "1", "PYTHONIOENCODING": "utf-8:surrogateescape"}


def _is_valid(result: Any) -> bool:
    return (
        isinstance(result, dict)
        and isinstance(result.get("files"), dict)
        and isinstance(result.get("stages"), dict)
        and all(isinstance(stage, dict) for stage in result["stages"].values())
    )
