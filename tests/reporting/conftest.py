"""The history that is drawn."""

from __future__ import annotations

import pytest

from tests.history import History
from tests.project import Project
from tests.reporting.churn import Churn


@pytest.fixture
def churn(project: Project, history: History) -> Churn:
    return Churn(project, history)
