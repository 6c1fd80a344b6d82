"""Code that differs from the commit, as Git sees it when a run starts."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from mlflow_dvc_plugin.capturing.program.command import may_have_secret
from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.state.entry import find_owner
from mlflow_dvc_plugin.state.program import CodeStatus

MAX_DIFF = 1024 * 1024  # bytes
_MAX_PATHS = 200
_MAX_NEW_FILE = 64 * 1024  # bytes of a file that Git does not know
_STANDS = 5.0  # seconds for which a look at the code is valid in this process
_DIFF_TIME = 1.0  # seconds for the difference, if something differs
# What Git does not know counts as code only if it looks like code.
_CODE = r"[\w./+ -]+\.(?:py|pyx|sh|[rR]|jl|sql|ya?ml|toml|cfg|ini)\Z"
# What DVC writes, and what the data state has.
_NOT_CODE = r"(?s)(?:.*/)?(?:\.dvc/.*|[^/]*\.dvc|dvc\.(?:lock|yaml)|\.gitignore|\.dvcignore)\Z"
_STATUS = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal")
_DIFF = (
    *("--literal-pathspecs", "diff", "HEAD", "--binary", "--full-index", "--no-color"),
    *("--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/", "--"),
)


class Code(NamedTuple):
    """Whether code differs from the commit, and how, as far as that is known."""

    status: CodeStatus
    diff: bytes = b""


class CodeLook:
    """Git's look at the code; it runs beside what this process does meanwhile.

    Args:
        top: absolute path of the Git work tree.
        commit: what HEAD is.
    """

    def __init__(self, top: str, commit: str | None) -> None:
        self._key = (top, commit)
        self._process: subprocess.Popen[bytes] | None = None
        found = _results.get(self._key)
        if found is None or time.monotonic() - found[0] > _STANDS:
            with suppress(OSError):
                self._process = _start_git(top, _STATUS)

    def finish(self, seconds: float, list_outs: Callable[[], Collection[str]]) -> Code:
        """The result, for which to wait at most so long.

        Args:
            seconds: after that, the code is `unverified`.
            list_outs: gives the paths of all outs, relative to the work tree, if they matter.
        """
        process, self._process = self._process, None
        if process is not None:
            output = _read_output(process, seconds)
            code = Code("unverified") if output is None else _judge(self._key[0], output, list_outs)
            _results.clear()
            _results[self._key] = (time.monotonic(), code)
        found = _results.get(self._key)
        return found[1] if found is not None else Code("unverified")

    def cancel(self) -> None:
        """End the look if nobody wants its result."""
        if self._process is not None:
            _read_output(self._process, 0)


# What a process learned last, by work tree and commit, and when.
_results: dict[tuple[str, str | None], tuple[float, Code]] = {}


def _judge(top: str, output: bytes, list_outs: Callable[[], Collection[str]]) -> Code:
    lines = [os.fsdecode(line) for line in output.split(b"\0") if line]
    changed = [line[3:] for line in lines if line[:2] != "??" and not re.match(_NOT_CODE, line[3:])]
    new = [line[3:] for line in lines if line[:2] == "??"]
    new = [path for path in _expand_folders(top, new) if _is_code(path)]
    if changed or new:
        outs = list_outs()
        changed, new = (
            [p for p in paths if find_owner(p, outs) is None] for paths in (changed, new)
        )
    if not changed and not new:
        return Code("clean")
    is_merge = any("U" in line[:2] or line[:2] in ("AA", "DD") for line in lines)
    if is_merge or len(changed) + len(new) > _MAX_PATHS:
        return Code("modified")
    parts = [_diff_changed(top, changed) if changed else b"", *(_diff_new(top, p) for p in new)]
    diff = b"".join(part for part in parts if part is not None)
    if None in parts or len(diff) > MAX_DIFF:
        return Code("modified")
    return Code("modified", b"" if _has_secret(diff.decode("utf-8", "replace")) else diff)


def _has_secret(diff: str) -> bool:
    if not may_have_secret([diff]):
        return False
    from mlflow_dvc_plugin.capturing.program.secrets import has_secret

    return has_secret(diff)


def _is_code(path: str) -> bool:
    return re.match(_CODE, path) is not None and not re.match(_NOT_CODE, path)


def _expand_folders(top: str, paths: Iterable[str]) -> Iterator[str]:
    """The paths, with the files in a folder instead of a folder of which Git knows nothing."""
    for path in paths:
        if not path.endswith("/"):
            yield path
            continue
        with suppress(OSError), os.scandir(os.path.join(top, path)) as items:
            yield from sorted(path + item.name for item in items if item.is_file())


def _diff_changed(top: str, paths: Sequence[str]) -> bytes | None:
    with suppress(OSError):
        return _read_output(_start_git(top, [*_DIFF, *paths]), _DIFF_TIME)
    return None


def _diff_new(top: str, path: str) -> bytes | None:
    """The difference that adds a file; None if it is no text of a moderate size."""
    try:
        with open(os.path.join(top, path), "rb") as file:
            data = file.read(_MAX_NEW_FILE + 1)
            mode = "100755" if os.fstat(file.fileno()).st_mode & 0o100 else "100644"
    except OSError:
        return None
    if len(data) > _MAX_NEW_FILE or b"\0" in data:
        return None
    head = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n"
    if not data:
        return head.encode()
    lines = data.split(b"\n")
    end = b"" if lines[-1] == b"" else b"\n\\ No newline at end of file\n"
    lines = lines if lines[-1] else lines[:-1]
    head += f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n"
    body = b"\n".join(b"+" + line for line in lines)
    return head.encode() + body + (end or b"\n")


def _start_git(top: str, args: Sequence[str]) -> subprocess.Popen[bytes]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environ.update(GIT_OPTIONAL_LOCKS="0", LC_ALL="C")
    return subprocess.Popen(
        ["git", "-c", "core.fsmonitor=false", *args],
        cwd=top,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _read_output(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """What a process prints; None if it takes longer or fails."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return output if process.returncode == 0 else None
