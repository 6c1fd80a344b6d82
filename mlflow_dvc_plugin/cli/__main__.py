"""The process: ``mlflow-dvc``, or ``python -m mlflow_dvc_plugin.cli`` where that is not found."""

from __future__ import annotations

import atexit
import os
import sys

from mlflow_dvc_plugin.cli import main


def run() -> None:
    """Run a command and exit.

    The process ends as soon as everything is written. Python would take MLflow
    and DVC apart first, object by object, which takes longer than most commands.
    """
    done: list[int] = []

    def leave() -> None:
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except (OSError, ValueError):
            return  # Python's own end tells of it
        for code in done:
            os._exit(code)

    # The first that is registered is the last that is called: what others do at exit is done.
    atexit.register(leave)
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int):
            done.append(end.code)
        raise


if __name__ == "__main__":
    run()
