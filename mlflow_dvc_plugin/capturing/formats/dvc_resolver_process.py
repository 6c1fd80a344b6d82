"""A script for a process of its own: DVC resolves the templates of one ``dvc.yaml``.

It reads a request from stdin and writes one line of JSON to stdout. It imports
nothing of this package, and DVC only in that process.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from types import SimpleNamespace
from typing import Any

_KEYS = ("wdir", "deps", "outs", "metrics", "plots")


def resolve_templates(project: str, metafile: str, text: str) -> dict[str, Any]:
    """The resolved stages, with the hash of every file that DVC looked for."""
    try:
        from dvc.exceptions import DvcException
        from dvc.fs import LocalFileSystem
        from dvc.parsing import DataResolver
        from dvc.utils.serialize import parse_yaml
    except ImportError as err:
        return {"error": f"its templates need DVC, which is not installed here ({err})"}

    path = os.path.join(project, metafile)
    hashes: dict[str, str | None] = {}

    class HashingFileSystem(LocalFileSystem):  # type: ignore[misc]
        """Takes the hash of every file before the resolver reads it."""

        def exists(self, path: str, **kwargs: Any) -> bool:
            absolute = os.path.abspath(path)
            hashes.setdefault(os.path.relpath(absolute, project), hash_file(absolute))
            return bool(super().exists(path, **kwargs))

    try:
        content = parse_yaml(text, path)
        repo = SimpleNamespace(fs=HashingFileSystem(), config={})
        resolver = DataResolver(repo, os.path.dirname(path), content)
        stages = {}
        for name in resolver.get_keys():
            resolved = resolver.resolve_one(name)[name]
            stages[name] = {key: resolved[key] for key in _KEYS if key in resolved}
        for section in ("artifacts", "datasets", "metrics", "params", "plots"):
            getattr(resolver, f"resolve_{section}", list)()
    except DvcException as err:
        return {"error": " ".join(str(err).split()), "files": hashes}
    except Exception as err:  # noqa: BLE001 - whatever error DVC raises, it refuses the file
        reason = f"DVC cannot resolve its templates ({type(err).__name__}: {err})"
        return {"error": reason, "files": hashes}
    return {"files": hashes, "stages": stages}


def hash_file(path: str) -> str | None:
    """The MD5 of a file; None if it cannot be read."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return hashlib.md5(file.read(1 << 26), usedforsecurity=False).hexdigest()
    except OSError:
        return None


if __name__ == "__main__":
    sys.stdout.write(
        "\n" + json.dumps(resolve_templates(**json.load(sys.stdin)), default=str) + "\n"
    )
