"""Temporary files: each is made in the folder of its target, and then renamed."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# The names of files that a killed restore leaves behind.
TEMPORARY_NAME = re.compile(r"\.[0-9a-f]{16}\.mlflow-dvc-tmp\Z")


def make_path(target: str) -> str:
    """Make a path in the folder of a target; the name is short, as long ones may not fit."""
    return os.path.join(os.path.dirname(target), f".{uuid.uuid4().hex[:16]}.mlflow-dvc-tmp")


@contextmanager
def make_temporary(target: str) -> Iterator[str]:
    """Make a path in the folder of a target; a file that is still there at the end is deleted."""
    path = make_path(target)
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
