"""The process: ``mlflow-dvc``, or ``python -m mlflow_dvc_plugin.cli`` where that is not found."""

from __future__ import annotations

import atexit
import os
import sys

from mlflow_dvc_plugin.cli import main


def run() -> None:
    """Run a command and exit.

    The process exits as soon as all output is written. Python would first delete
    the objects of MLflow and DVC, which takes longer than most commands.
    """
    exit_codes: list[int] = []

    def exit_now() -> None:
        store = sys.modules.get("mlflow_dvc_plugin.tracking.store")
        try:
            if store is not None:
                store.close_databases()
            for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
                if stream is not None:
                    stream.flush()
        except Exception:  # noqa: BLE001 - Python tries again as it exits, and reports it
            return
        for code in exit_codes:
            os._exit(code)

    if _is_own_process():
        # What is registered first is called last, when the exit functions of others are done.
        atexit.register(exit_now)
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int):
            exit_codes.append(end.code)
        raise


def _is_own_process() -> bool:
    """No profiler or other program runs this command, and no other exit function is registered."""
    registered = getattr(atexit, "_ncallbacks", lambda: 1)()
    return getattr(sys.modules["__main__"], "run", None) is run and not registered


if __name__ == "__main__":
    run()
