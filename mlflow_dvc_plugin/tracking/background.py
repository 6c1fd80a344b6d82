"""Work in a thread that holds up neither a user who interrupts nor the end of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def start(function: Callable[[], _T]) -> Future[_T]:
    """Call a function in a thread; the future gets its result or its error."""
    future: Future[_T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except Exception as err:  # noqa: BLE001 - who waits for the result gets it
            future.set_exception(err)

    threading.Thread(target=work, daemon=True).start()
    return future
