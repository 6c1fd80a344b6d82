"""``mlflow-dvc doctor``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli.output import (
    add_style,
    common_options,
    format_count,
    format_size,
    print_result,
    to_printable,
    write,
)
from mlflow_dvc_plugin.environments import PLUGIN
from mlflow_dvc_plugin.settings import PREFIX

if TYPE_CHECKING:
    from mlflow_dvc_plugin.diagnosis import Diagnosis


@click.command("doctor")
@common_options
def command(tracking_uri: str | None, as_json: bool) -> int:
    """Show what works together here, and what is wrong, to paste into an issue.

    It shows the versions, how MLflow knows the plugin, the project, the settings and
    where each comes from, the MLflow store, the DVC cache, the link types that work,
    and the remotes. It waits at most 5 seconds for the network. It shows no password
    and no key, and `~` for the home folder.

    Exits with 1 if something keeps runs from being tagged or restored. `status` looks
    at all data of the project; `doctor` asks each remote for some of it.
    """
    from mlflow_dvc_plugin.diagnosis import diagnose

    found = diagnose(tracking_uri)
    print_result(found.to_dict(), as_json, lambda: _draw(found))
    return 1 if found.problems else 0


def _draw(found: Diagnosis) -> None:
    sections = {
        "Versions": _list_versions(found),
        "Plugin": _list_registration(found),
        "Project": _list_project(found),
        "Settings": _list_settings(found),
        "MLflow store": _list_store(found),
        "DVC storage": _list_storage(found),
    }
    write("### mlflow-dvc doctor")
    for heading, lines in sections.items():
        _draw_section(heading, lines)
    if found.remarks:
        _draw_section("Worth knowing", [f"- {each}" for each in found.remarks])
    if found.problems:
        numbered = (f"{number}. {each}" for number, each in enumerate(found.problems, 1))
        _draw_section("Problems", numbered, "yellow")
    else:
        write()
        write(add_style("No problem found: runs that start here are tagged.", "green"))


def _draw_section(heading: str, lines: Iterable[str], colour: str | None = None) -> None:
    lines = list(lines)
    if not lines:
        return
    write()
    write(add_style(f"**{heading}**", colour))
    write()
    for line in lines:
        write(to_printable(line))


def _list_versions(found: Diagnosis) -> Iterator[str]:
    software = found.software
    if software is None:
        return
    yield f"- mlflow-dvc-plugin {software.plugin}, in `{software.folder}`"
    yield f"- Python {software.python} on {software.system}"
    known = {"MLflow": software.mlflow, "DVC": software.dvc, "Git": software.git}
    yield "- " + ", ".join(f"{name} {each or 'is not installed'}" for name, each in known.items())
    packages = ", ".join(f"{name} {each}" for name, each in software.packages.items())
    if packages:
        yield f"- {packages}"


def _list_registration(found: Diagnosis) -> Iterator[str]:
    registration = found.registration
    if registration is None:
        return
    yield f"- environment: `{registration.environment}`"
    reason = registration.reason
    yield f"- MLflow {f'does not load the plugin: {reason}' if reason else 'loads the plugin'}"
    if registration.other:
        plugin = registration.other_plugin or "is not installed"
        yield f"- the project is trained in `{registration.other}`: {PLUGIN} {plugin} there"


def _list_project(found: Diagnosis) -> Iterator[str]:
    project = found.project
    if project is None or project.root is None:
        yield "- none"
        return
    yield f"- `{project.root}`: {project.reason}"
    yield f"- Git repository: {f'`{project.git}`' if project.git else 'none'}"
    if found.outs is not None:
        yield f"- data: {format_count(found.outs, 'output')}, {found.status}"


def _list_settings(found: Diagnosis) -> Iterator[str]:
    if found.project is None:
        return
    settings = found.project.settings
    rows = [
        [each.name, str(each.value), each.source] for each in settings if each.source != "default"
    ]
    if rows:
        rows.insert(0, ["setting", "value", "from"])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, ["-" * width for width in widths])
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            yield f"| {' | '.join(cells)} |"
        yield ""
    others = [each.name.removeprefix(PREFIX) for each in settings if each.source == "default"]
    yield f"default: {PREFIX}… {', '.join(others)}"


def _list_store(found: Diagnosis) -> Iterator[str]:
    store = found.store
    if store is None:
        return
    yield f"- `{store.uri}` ({store.kind}, from {store.source})"
    if not store.exists:
        yield "- it does not exist yet: MLflow creates it when the first run starts"
    elif store.answers:
        yield f"- it answered in {store.seconds} s"
    else:
        yield "- it does not answer"


def _list_storage(found: Diagnosis) -> Iterator[str]:
    cache = found.cache
    if cache is not None:
        disk = f"{cache.file_system or 'unknown file system'}, {format_size(cache.free)} free"
        exists = "" if cache.exists else "does not exist yet; "
        yield f"- cache: `{cache.folder}` ({exists}{disk})"
        links = ", ".join(
            f"{kind} {'yes' if works else 'no'}" for kind, works in cache.links.items()
        )
        yield f"- links from the cache into the workspace: {links}"
        yield f"- DVC uses: {cache.used} (of {', '.join(cache.types)})"
    for each in found.remotes:
        kind = f"{each.scheme}, the default" if each.is_default else each.scheme
        said = {True: "answers", False: "does not answer", None: f"was not asked: {each.note}"}
        yield f"- remote {each.name} ({kind}) {said[each.answers]}"
