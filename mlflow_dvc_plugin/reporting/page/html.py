"""A report as HTML: all text in it is escaped, and nothing in it can run or be loaded."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources
from typing import Any

from mlflow_dvc_plugin.errors import ReportError
from mlflow_dvc_plugin.reporting.page.data_states import UsedData
from mlflow_dvc_plugin.reporting.page.run_report import RunReport
from mlflow_dvc_plugin.reporting.page.runs_report import RunsReport
from mlflow_dvc_plugin.reporting.times import format_day, format_minute
from mlflow_dvc_plugin.tracking.pages import Pages
from mlflow_dvc_plugin.units import format_count, format_number, format_size
from mlflow_dvc_plugin.version import __version__

_SHORT = 8
_CHANGE = 28  # characters beside a lane


def render(report: RunReport | RunsReport) -> str:
    """The page of a report. The same report gives the same text.

    Raises:
        ReportError: Jinja2 is not installed, as it may be with mlflow-skinny.
    """
    if isinstance(report, RunReport):
        name, run = "run.html", report.recorded.run
    else:
        name, run = "runs.html", report.recorded[0].run
    text = _open_templates().get_template(name).render(report=report, pages=Pages(run.store))
    lines = (line.rstrip() for line in str(text).splitlines())
    return "\n".join(line for line in lines if line) + "\n"


@lru_cache(maxsize=1)
def _open_templates() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as err:
        raise ReportError(
            "A report needs Jinja2, which mlflow-skinny lacks. Run: pip install jinja2"
        ) from err

    def to_printable(value: Any) -> Any:
        """Text from tags without characters that hide, or that turn the direction of others."""
        if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
            return value
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)

    environment = Environment(
        loader=PackageLoader("mlflow_dvc_plugin.reporting.page"),
        autoescape=True,
        finalize=to_printable,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    style = resources.files(__package__).joinpath("templates/style.css").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals.update(
        style=Markup(style),  # noqa: S704 - it is our own
        style_hash=digest,
        version=__version__,
    )
    environment.filters.update(
        short=lambda value: value[:_SHORT],
        px=lambda value: f"{value:.1f}".removesuffix(".0"),
        size=lambda value: "" if value is None else format_size(value),
        number=format_number,
        minute=format_minute,
        day=format_day,
        runs=lambda count: format_count(count, "run"),
        change=_describe_change,
    )
    return environment


def _describe_change(data: UsedData) -> str:
    """What changed, in a few words beside a lane."""
    if data.changes is None:
        return "the first"
    items = data.changes.items
    if not items:
        return "cannot be compared" if data.changes.unknown else "the same"
    more = f" +{len(items) - 1}" if len(items) > 1 else ""
    room, path = _CHANGE - len(more), items[0].path
    return (path if len(path) <= room else f"…{path[len(path) - room + 1 :]}") + more
