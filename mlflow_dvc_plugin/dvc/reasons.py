"""DVC's errors, and everyone else's, as ours: one line that says why."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from dvc.exceptions import DvcException

from mlflow_dvc_plugin.errors import DvcError


def reason(err: BaseException) -> str:
    """Why something could not be done, in one line."""
    if isinstance(err, FileNotFoundError):
        return "not in the remote"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    lines = str(err).strip().splitlines()
    return lines[0] if lines else type(err).__name__


@contextlib.contextmanager
def translating() -> Iterator[None]:
    """Raise what DVC or the system raises as ours.

    Raises:
        DvcError: instead of theirs.
    """
    try:
        yield
    except (DvcException, OSError) as err:
        raise DvcError(reason(err)) from err


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep DVC's own log lines from the terminal: what failed is said once, by us."""
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(logger, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    try:
        yield
    finally:
        for logger, propagate in before:
            logger.propagate = propagate
