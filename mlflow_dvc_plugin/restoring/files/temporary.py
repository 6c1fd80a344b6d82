"""Files on their way: each is made beside its place, and renamed into it."""

from __future__ import annotations

import itertools
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# What a killed restore leaves.
LEFT_OVER = re.compile(r"\.[0-9a-f]{16}\.mlflow-dvc-tmp\Z")


class Names:
    """Paths for files on their way, no two alike, whatever other processes do."""

    def __init__(self) -> None:
        self._token = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()

    def beside(self, target: str) -> str:
        """A path in the folder of `target`; its name is short, where a long one has no room."""
        name = f".{self._token}{next(self._numbers):08x}.mlflow-dvc-tmp"
        return os.path.join(os.path.dirname(target), name)


@contextmanager
def beside(target: str) -> Iterator[str]:
    """A path in the folder of `target`, for a file to be renamed; one that stays is removed."""
    path = Names().beside(target)
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
