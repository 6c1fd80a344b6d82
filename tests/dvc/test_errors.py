"""DVC's own log lines stay away from the terminal."""

from __future__ import annotations

import logging

from mlflow_dvc_plugin.dvc.errors import silence_logs


def test_dvc_logs_nothing_for_a_while() -> None:
    seen: list[logging.LogRecord] = []

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    handler = Seen()
    logging.getLogger("dvc").addHandler(handler)
    try:
        with silence_logs():
            logging.getLogger("dvc.repo.index").warning("failed to collect 'workspace', skipping")
        assert seen == []
        logging.getLogger("dvc.repo.index").warning("as before")
        assert len(seen) == 1
    finally:
        logging.getLogger("dvc").removeHandler(handler)
