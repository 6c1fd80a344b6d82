"""The Python interpreter that runs a stage or a command, and what is installed for it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from packaging.utils import canonicalize_name

_NAME = re.compile(r"python[0-9.]*\Z")
_SECONDS = 120
# What comes of another program's output.
_NO_ANSWER = (ValueError, TypeError, LookupError, AttributeError)
# Nothing is imported from the working directory.
_QUESTION = """\
import sys
sys.path = [path for path in sys.path if path]
import json, platform, sysconfig
from importlib.metadata import distributions
packages = {}
for each in distributions():
    name = each.metadata["Name"]
    if name and each.version:
        packages.setdefault(name, each.version)
place = sysconfig.get_path("purelib")
print("\\n" + json.dumps([platform.python_version(), place, packages]))
"""


class Interpreter(NamedTuple):
    """A Python interpreter.

    Attributes:
        path: how it is called.
        version: of Python, such as ``3.11.7``.
        site_packages: the folder where packages are installed.
        packages: the versions of installed packages, by the name as PyPI normalizes it.
    """

    path: str
    version: str
    site_packages: str
    packages: Mapping[str, str]


def find_python(command: str | Sequence[str], folder: str, environ: Mapping[str, str]) -> str:
    """The interpreter that a command uses: one that it names, ``python``, or else this one."""
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError:
        words = []
    path = environ.get("PATH")
    for word in (*words[:1], "python"):
        if is_python(os.path.basename(word)):
            # A relative path starts where the command runs, or else where the user is.
            for place in (os.path.join(folder, word), word) if os.sep in word else (word,):
                found = shutil.which(place, path=path)
                if found:
                    return os.path.abspath(found)
    return sys.executable


def is_python(program: str) -> bool:
    """Is this the name of a Python interpreter?"""
    return _NAME.match(program) is not None


def ask_interpreter(path: str, environ: Mapping[str, str]) -> Interpreter | None:
    """Ask an interpreter for its version and packages; None if it does not answer."""
    try:
        done = subprocess.run(
            [path, "-c", _QUESTION],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
        version, place, packages = json.loads(done.stdout.splitlines()[-1])
        names: dict[str, str] = {
            canonicalize_name(name): str(value) for name, value in packages.items()
        }
    except (
        OSError,
        subprocess.SubprocessError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ):
        return None
    return Interpreter(path, str(version), str(place), names)
