"""Where the outs of a state should be, and which of them surely are not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import islice

from mlflow_dvc_plugin.capturing.formats.stages import Out

# Outs in one folder, from which on one listing of it is cheaper than a stat of each.
_TOGETHER = 8


class Made:
    """The outs of a state that were made once, as the metafiles say.

    It is asked at each run, so what does not depend on the workspace is kept.

    Args:
        outs: all of the state.
    """

    def __init__(self, outs: Iterable[Out]) -> None:
        self._all = outs

    @cached_property
    def outs(self) -> list[Out]:
        """Those with a hash."""
        return [out for out in self._all if out.entry.hash]

    @cached_property
    def _places(self) -> tuple[list[int], dict[str, dict[str, int]]]:
        """Positions of outs to look at one by one, and by folder and name of the others."""
        if sys.platform != "linux":  # elsewhere a file may be found by another name than its own
            return list(range(len(self.outs))), {}
        alone: list[int] = []
        folders: dict[str, dict[str, int]] = {}
        for position, out in enumerate(self.outs):
            folder, _, name = out.path.rpartition("/")
            if (
                not out.local
                or folders.setdefault(folder, {}).setdefault(name, position) != position
            ):
                alone.append(position)
        for folder in [each for each, names in folders.items() if len(names) < _TOGETHER]:
            alone += folders.pop(folder).values()
        return alone, folders

    def perhaps_there(self, late: Callable[[], bool]) -> list[int]:
        """Positions of the outs that may be in the workspace; the others surely are not.

        To list a folder once tells of all that should be in it.

        Args:
            late: is there no more time to list another folder?
        """
        alone, folders = self._places
        found = list(alone)
        for folder, positions in folders.items():
            names = None if late() else _names(folder, 4 * len(positions))
            if names is None:
                found += positions.values()
            else:
                found += [positions[name] for name in positions.keys() & names]
        return sorted(found)


def _names(folder: str, most: int) -> set[str] | None:
    """What is in a folder; None if that is too much, or cannot be said."""
    try:
        with os.scandir(folder) as entries:
            names = {item.name for item in islice(entries, most + 1)}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except (OSError, ValueError):
        return None
    return names if len(names) <= most else None
