"""``.dvc`` files."""

from __future__ import annotations

from typing import Any

from mlflow_dvc_plugin.capturing.dvc_config import Config
from mlflow_dvc_plugin.capturing.formats.outs import Stage, build_out
from mlflow_dvc_plugin.capturing.formats.paths import WorkingDir
from mlflow_dvc_plugin.capturing.formats.schema import DVCFILE, load_checked
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.state import Kind

_FLAGS = ("isexec", "cache", "push", "persist")
_BOOLS = {"true": True, "false": False}
_IN_NO_NUMBER = frozenset("ghijklmnpqrstuvwyz/")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Characters without a meaning in YAML.
_IN_TEXT = f"{_LETTERS}{_LETTERS.upper()}0123456789_./=@+, -"


def parse_dvcfile(data: bytes) -> dict[str, Any]:
    """Parse a ``.dvc`` file, or raise a FormatError."""
    return parse_simple(data) or load_checked(data, DVCFILE)


def parse_simple(data: bytes) -> dict[str, Any] | None:
    """Parse a file of one out in DVC's own form, without a YAML parser; None for any other."""
    start, head, text = data.decode("ascii", "replace").partition("outs:\n- ")
    if start or not head or text[-1:] != "\n":
        return None
    out: dict[str, Any] = {}
    for line in text[:-1].split("\n  "):
        key, _, value = line.partition(": ")
        if key in out:
            return None
        if (key == "path" and _is_text(value)) or (key == "md5" and _is_md5(value)):
            out[key] = value
        elif key in ("size", "nfiles") and _is_count(value):
            out[key] = int(value)
        elif key == "hash" and value == "md5":
            out[key] = value
        elif key in _FLAGS and value in _BOOLS:
            out[key] = _BOOLS[value]
        else:
            return None
    return {"outs": [out]}


def _is_text(value: str) -> bool:
    """Is this certainly a string in YAML, without quotes, on one line?"""
    if value[:1].isalpha():
        is_string = value.lower() not in ("null", "true", "false")
    else:  # no number contains one of these
        is_string = value[:1].isdigit() and not _IN_NO_NUMBER.isdisjoint(value)
    return is_string and value[-1] != " " and not value.strip(_IN_TEXT)


def _is_count(value: str) -> bool:
    return value.isdecimal() and len(value) <= 18 and (value[0] != "0" or value == "0")


def _is_md5(value: str) -> bool:
    """Is this an MD5, and not a number in YAML, such as 32 digits?"""
    digits, suffix = value[:32], value[32:]
    is_hex = len(digits) == 32 and not digits.strip("0123456789abcdef")
    return is_hex and (suffix == ".dir" or (not suffix and bool(digits.strip("0123456789e"))))


def build_stage(content: dict[str, Any], metafile: str, project: str, config: Config) -> Stage:
    """Build the stage that a ``.dvc`` file stands for."""
    deps = content.get("deps") or []
    outs = content.get("outs") or []
    folder = WorkingDir.of_stage(project, config, metafile, content.get("wdir"))
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
