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
        from mlflow_dvc_plugin.tracking import store

        try:
            store.close_databases()
            for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
                if stream is not None:
                    stream.flush()
        except Exception:  # noqa: BLE001 - Python's own end does it, or tells of it
            return
        for code in done:
            os._exit(code)

    if _is_all_there_is():
        # The first that is registered is the last that is called: what others do at exit is done.
        atexit.register(leave)
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int):
            done.append(end.code)
        raise


def _is_all_there_is() -> bool:
    """The process is ours: no profiler or other program runs us, and nothing waits for its end."""
    registered = getattr(atexit, "_ncallbacks", lambda: 1)()
    return getattr(sys.modules["__main__"], "run", None) is run and not registered


if __name__ == "__main__":
    run()
