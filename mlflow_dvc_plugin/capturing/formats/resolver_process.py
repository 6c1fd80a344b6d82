"""Runs in a process of its own: DVC's resolver on the text of one ``dvc.yaml``.

It reads a question from stdin and writes one line of JSON to stdout. Nothing of
this package is imported here, and no process that captures imports this file.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from types import SimpleNamespace
from typing import Any

_KEYS = ("wdir", "deps", "outs", "metrics", "plots")


def answer(project: str, metafile: str, text: str) -> dict[str, Any]:
    """The resolved stages, with the hash of every file that was looked at."""
    try:
        from dvc.exceptions import DvcException
        from dvc.fs import LocalFileSystem
        from dvc.parsing import DataResolver
        from dvc.utils.serialize import parse_yaml
    except ImportError as err:
        return {"error": f"its templates need DVC, which is not installed here ({err})"}

    path = os.path.join(project, metafile)
    seen: dict[str, str | None] = {}

    class Watched(LocalFileSystem):  # type: ignore[misc]
        """Takes the hash of every file before the resolver reads it."""

        def exists(self, path: str, **kwargs: Any) -> bool:
            absolute = os.path.abspath(path)
            seen.setdefault(os.path.relpath(absolute, project), _hash(absolute))
            return bool(super().exists(path, **kwargs))

    try:
        content = parse_yaml(text, path)
        repo = SimpleNamespace(fs=Watched(), config={})
        resolver = DataResolver(repo, os.path.dirname(path), content)
        stages = {}
        for name in resolver.get_keys():
            resolved = resolver.resolve_one(name)[name]
            stages[name] = {key: resolved[key] for key in _KEYS if key in resolved}
        for section in ("artifacts", "datasets", "metrics", "params", "plots"):
            getattr(resolver, f"resolve_{section}", list)()
    except DvcException as err:
        return {"error": " ".join(str(err).split()), "files": seen}
    except Exception as err:  # noqa: BLE001 - whatever DVC trips over, it refuses the file
        reason = f"DVC cannot resolve its templates ({type(err).__name__}: {err})"
        return {"error": reason, "files": seen}
    return {"files": seen, "stages": stages}


def _hash(path: str) -> str | None:
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return hashlib.md5(file.read(1 << 26), usedforsecurity=False).hexdigest()
    except OSError:
        return None


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(answer(**json.load(sys.stdin)), default=str) + "\n")
