"""What a run ran: its command, and code that was not committed when it started."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Literal, get_args

from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.state.entry import check_text

# Whether the code was as the commit has it. `saved`: it was not, and the difference is recorded.
CodeStatus = Literal["clean", "modified", "saved", "unverified"]

MASK = "***"  # stands for a secret in a command
_VERSION = r"[\w.+ -]{1,40}\Z"


class Program(NamedTuple):
    """What a run ran, as far as it is known.

    Attributes:
        args: the command, its program first; ``python`` stands for the interpreter. Empty if
            the command is not known.
        folder: the working directory, POSIX, relative to the project.
        python: the version of the interpreter.
        code: whether the code was as the commit has it; None if nobody looked.
        diff: what differed, as ``git diff HEAD`` prints it, with paths from the top of the
            repository; empty if that is not known.
    """

    args: tuple[str, ...] = ()
    folder: str = "."
    python: str = ""
    code: CodeStatus | None = None
    diff: bytes = b""

    @property
    def is_masked(self) -> bool:
        """Does the command lack a secret that it was given?"""
        return any(MASK in arg for arg in self.args)


def dump_program(program: Program) -> list[Any]:
    """Write a program as JSON values."""
    return [
        list(program.args),
        program.folder,
        program.python,
        program.code,
        program.diff.decode("latin-1"),
    ]


def load_program(values: Any) -> Program:
    """Read what :func:`dump_program` wrote; a TypeError or ValueError if others wrote it wrong."""
    args, folder, python, code, diff = values
    for text in (*args, folder, python):
        if "\0" in check_text(text):
            raise ValueError("a null character in a command")
    if posixpath.isabs(folder) or "\\" in folder:
        raise ValueError("an absolute working directory")
    if python and not re.match(_VERSION, python):
        raise ValueError("the version of an interpreter")
    if code is not None and code not in get_args(CodeStatus):
        raise ValueError("the status of the code")
    return Program(tuple(args), folder, python, code, check_text(diff).encode("latin-1"))
