"""The outs that should be in the workspace, and those that are certainly absent."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import islice

from mlflow_dvc_plugin.capturing.formats.outs import Out

# With this many outs in one folder, it is cheaper to list it than to stat each out.
_MIN_LISTED = 8


class ExpectedOuts:
    """The outs of a state that have a hash, with what does not depend on the workspace."""

    def __init__(self, outs: Iterable[Out]) -> None:
        self._all = outs

    @cached_property
    def outs(self) -> list[Out]:
        """The outs with a hash."""
        return [out for out in self._all if out.entry.hash]

    def find_candidates(self, is_late: Callable[[], bool]) -> list[int]:
        """Positions of the outs that may be present. All others are certainly absent.

        One listing of a folder tells about all outs in it, while `is_late` allows it.
        """
        single, folders = self._places
        found = list(single)
        for folder, positions in folders.items():
            names = None if is_late() else _list_names(folder, 4 * len(positions))
            if names is None:
                found += positions.values()
            else:
                found += [positions[name] for name in positions.keys() & names]
        return sorted(found)

    @cached_property
    def _places(self) -> tuple[list[int], dict[str, dict[str, int]]]:
        """Positions of the outs to stat one by one; those of the others by folder and name."""
        if sys.platform != "linux":  # elsewhere, a file may be found by a different name
            return list(range(len(self.outs))), {}
        single: list[int] = []
        folders: dict[str, dict[str, int]] = {}
        for position, out in enumerate(self.outs):
            folder, _, name = out.path.rpartition("/")
            if (
                not out.local
                or folders.setdefault(folder, {}).setdefault(name, position) != position
            ):
                single.append(position)
        for folder in [each for each, names in folders.items() if len(names) < _MIN_LISTED]:
            single += folders.pop(folder).values()
        return single, folders


def _list_names(folder: str, most: int) -> set[str] | None:
    """The names in a folder; None if there are more than `most`, or it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = {item.name for item in islice(entries, most + 1)}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except (OSError, ValueError):
        return None
    return names if len(names) <= most else None
