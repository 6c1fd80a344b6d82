"""``mlflow-dvc graph [RUN…]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.output import add_style, print_line, print_note, print_result, write
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from mlflow_dvc_plugin.reporting.graph.nodes import Graph, NodeKind
    from mlflow_dvc_plugin.reporting.graph.tree import Line

_COLOURS: dict[NodeKind, str] = {
    "data": "green",
    "stage": "yellow",
    "run": "cyan",
    "model": "magenta",
    "version": "magenta",
    "alias": "magenta",
}
_SHORT = 8


@click.command("graph")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@output.experiment_option
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--dot", is_flag=True, help="Print a digraph for Graphviz.")
@click.option("--openlineage", is_flag=True, help="Print OpenLineage events.")
@click.option("--ro-crate", "folder", metavar="DIR", help="Write a Workflow Run RO-Crate to DIR.")
@output.common_options
def command(
    runs: Sequence[str],
    *,
    experiments: Sequence[str],
    folder: str | None,
    tracking_uri: str | None,
    as_json: bool,
    **styles: bool,
) -> None:
    """Show what models and runs rest on, down to the data.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. Without RUN and
    --experiment, the graph has the runs on the data that is in the workspace now.

    The stages that made the data are those of the dvc.lock that a run recorded.
    """
    from mlflow_dvc_plugin.reporting.graph import ro_crate
    from mlflow_dvc_plugin.reporting.graph.reader import read_lineage
    from mlflow_dvc_plugin.reporting.recorded_runs import read_metafiles

    if runs and experiments:
        raise click.UsageError("Name runs or --experiment, not both.")
    chosen = [style for style, is_chosen in styles.items() if is_chosen]
    if len(chosen) + (folder is not None) + as_json > 1:
        raise click.UsageError(
            "Choose one of --mermaid, --dot, --openlineage, --ro-crate and --json."
        )
    with ProgressBar() as progress:
        found = read_lineage(
            runs, experiments=experiments, tracking_uri=tracking_uri, progress=progress
        )
    graph = found.graph
    if folder is not None:
        files = ro_crate.write_ro_crate(graph, read_metafiles(found.recorded), folder)
        print_note(f"Wrote {output.format_count(len(files), 'file')} to {folder}.")
    elif chosen:
        _print_style(graph, chosen[0])
    else:
        print_result(graph.to_dict(), as_json, lambda: _draw(graph), graph.remarks)
        return
    for remark in graph.remarks:
        print_note(remark)


def _print_style(graph: Graph, style: str) -> None:
    from mlflow_dvc_plugin.reporting.graph import dot, mermaid, openlineage

    if style == "openlineage":
        for event in openlineage.to_openlineage(graph):
            write(event)
    else:
        write(mermaid.to_mermaid(graph) if style == "mermaid" else dot.to_dot(graph), end="")


def _draw(graph: Graph) -> None:
    from mlflow_dvc_plugin.reporting.graph.tree import draw_tree

    if not graph.nodes:
        print_line("There are no runs on this data.")
    for line in draw_tree(graph):
        write(_format(line, line.node.id in graph.focus))


def _format(line: Line, is_focus: bool) -> str:
    node = line.node
    parts = [
        add_style(line.guides, dim=True) + add_style(node.kind, _COLOURS[node.kind]),
        output.to_printable(node.name),
        add_style(output.to_printable(node.hash[:_SHORT]), dim=True),
        output.to_printable(", ".join(_list_words(line))),
    ]
    text = "  ".join(part for part in parts if part)
    return f"{text}  {add_style('← asked for', dim=True)}" if is_focus else text


def _list_words(line: Line) -> list[str]:
    facts = line.node.facts
    words = [f"{int(facts['bytes']):,} bytes"] if "bytes" in facts else []
    if line.node.kind == "run":
        words.append(f"data {facts['data']}")
        words += [facts["status"]] if facts.get("status") not in (None, "finished") else []
    if line.edited:
        words.append("edited before the run and not saved: it read something else")
    if line.repeated:
        words.append("see above")
    return words
