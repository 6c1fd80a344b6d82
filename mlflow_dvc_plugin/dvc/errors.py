"""Translate the errors of DVC, of remotes and of the system into one line each."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from mlflow_dvc_plugin.errors import DvcError, MlflowDvcError

NOT_IN_REMOTE = "not in the remote"


def describe_error(err: BaseException) -> str:
    """Describe in one line why something failed."""
    # DVC says "SCM error", and names the reason only in the cause.
    err = err.__cause__ if str(err) == "SCM error" and err.__cause__ else err
    if isinstance(err, FileNotFoundError):
        return NOT_IN_REMOTE
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    lines = str(err).strip().splitlines()
    return lines[0] if lines else type(err).__name__


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Raise errors of DVC, of a remote or of the system as `DvcError`."""
    try:
        yield
    except MlflowDvcError:
        raise
    except Exception as err:  # each kind of remote has its own errors
        raise DvcError(describe_error(err)) from err


@contextlib.contextmanager
def silence_logs() -> Iterator[None]:
    """Keep DVC's own log lines from the terminal, because errors are reported by us."""
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(logger, logger.propagate, logger.handlers) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.handlers = [logging.NullHandler()]
    try:
        yield
    finally:
        for logger, propagate, handlers in before:
            logger.propagate, logger.handlers = propagate, handlers
