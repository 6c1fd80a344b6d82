"""What tests do on MLflow's pages.

``MLFLOW_DVC_SCREENSHOTS=DIR`` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Read before the tests' isolation takes it away.
SCREENSHOTS = os.environ.get("MLFLOW_DVC_SCREENSHOTS")


def visit(page: Any, url: str) -> None:
    """Open a page, without the list of MLflow's other pages beside it."""
    page.goto(url)
    page.get_by_role("button", name="Toggle sidebar").click()


def close_assistant(page: Any) -> None:
    button = page.get_by_role("button", name="Close")
    if button.count():
        button.first.click()


def picture(page: Any, name: str) -> None:
    page.wait_for_timeout(500)
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))
