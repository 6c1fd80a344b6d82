"""Asking DVC what the templates of a ``dvc.yaml`` mean, once for each content.

DVC is never imported in the process that captures: a subprocess is asked
(:mod:`mlflow_dvc_plugin.capturing.formats.resolver_process`), and its answer is kept under
``.dvc/tmp`` with the hashes of all the files that it depends on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from mlflow_dvc_plugin.capturing.memory import disk as kept
from mlflow_dvc_plugin.errors import CaptureError

TIMEOUT_SECONDS = 60
_KEPT = 64
_ATTEMPTS = 3
_MAX_BYTES = 1 << 26

# Answers of this process: a project that cannot be written to is asked once, too.
_known: dict[str, dict[str, Any]] = {}


def ask(
    data: bytes, project: str, metafile: str, look: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """DVC's resolution of the stages of `metafile`, whose bytes are `data`.

    `look` is told the path of every other file that it depends on.

    Raises:
        CaptureError: DVC refuses the file, gives no answer in time, or is not
            installed.
    """
    path = kept.place(project, f"ask\0{project}\0{metafile}", data)
    for _ in range(_ATTEMPTS):
        answers: tuple[Any, ...] = (_known.get(path), kept.read(path))
        for known in answers:
            if not _sound(known):
                continue
            for name in known["files"]:
                look(os.path.join(project, name))
            if _current(known["files"], project):
                _known[path] = known
                return _stages(known)
        answer = _asked(data, project, metafile)
        if "error" in answer:
            for name in answer.get("files", ()):
                look(os.path.join(project, name))
            raise CaptureError(metafile, answer["error"])
        # DVC read the files by itself: what they hold now is what it saw only if
        # nobody wrote to them meanwhile, so an answer is kept from the hashes it took.
        if len(_known) >= _KEPT:
            _known.clear()
        _known[path] = answer
        kept.write(path, answer)
    raise CaptureError(metafile, "what its templates use changes while it is read; try again")


def _stages(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    stages: dict[str, dict[str, Any]] = answer["stages"]
    return stages


def _current(hashes: dict[str, str | None], project: str) -> bool:
    """Do the files that an answer depends on still hold what they held?"""
    return all(_file_hash(os.path.join(project, name)) == known for name, known in hashes.items())


def _file_hash(path: str) -> str | None:
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return kept.digest(file.read(_MAX_BYTES))
    except OSError:
        return None


def _asked(data: bytes, project: str, metafile: str) -> dict[str, Any]:
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resolver_process.py")
    # Without the script's folder or the working directory on the path: a
    # project's own dvc.py or yaml.py is not what is asked.
    code = "import runpy, sys; del sys.path[0]; runpy.run_path(sys.argv[1], run_name='__main__')"
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MLFLOW_") and name not in ("DVC_STAGE", "PYTHONSTARTUP")
    }
    environ.update(DVC_NO_ANALYTICS="1", PYTHONIOENCODING="utf-8:surrogateescape")
    question = {"project": project, "metafile": metafile, "text": data.decode("utf-8")}
    if not sys.executable:
        raise CaptureError(
            metafile, "its templates need DVC, and there is no Python to run it with"
        )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, script],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            env=environ,
            cwd=project,
        )
    except subprocess.TimeoutExpired as err:
        raise CaptureError(
            metafile, f"DVC did not resolve its templates within {TIMEOUT_SECONDS} s"
        ) from err
    except OSError as err:
        raise CaptureError(metafile, f"its templates need DVC, which does not run: {err}") from err
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        answer = None
    if not isinstance(answer, dict) or not ("error" in answer or _sound(answer)):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        why = f": {last[0][:200]}" if last else ""
        raise CaptureError(metafile, f"DVC could not resolve its templates{why}")
    return answer


def _sound(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("files"), dict)
        and isinstance(answer.get("stages"), dict)
        and all(isinstance(stage, dict) for stage in answer["stages"].values())
    )
