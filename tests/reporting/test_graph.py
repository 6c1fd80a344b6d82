"""The lineage as a graph: what is in it, and what other programs read of it."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from pathlib import Path
from typing import Any, get_args

import mlflow
import pydot
import pytest

from mlflow_dvc_plugin.reporting.graph.builder import MAX_OUTS, build_graph
from mlflow_dvc_plugin.reporting.graph.dot import to_dot
from mlflow_dvc_plugin.reporting.graph.mermaid import to_mermaid
from mlflow_dvc_plugin.reporting.graph.nodes import Edge, Graph, Node, NodeKind
from mlflow_dvc_plugin.reporting.graph.tree import draw_tree
from mlflow_dvc_plugin.reporting.recorded_runs import find_steps, read_runs
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tracking import Run
from mlflow_dvc_plugin.tracking.models import Model
from mlflow_dvc_plugin.tracking.pages import Pages
from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.record import record
from tests.reporting.churn import Churn, md5

HOSTILE = '<script>alert(1)</script>"]; n0 --> n1\n`${x}` \\N \x1b[2J \u202e'


def names(document: Any) -> dict[str, str]:
    return {node["id"]: f"{node['kind']} {node['name']}" for node in document["nodes"]}


def arrows(document: Any) -> set[str]:
    shown = names(document)
    return {f"{shown[e['source']]} → {shown[e['target']]}" for e in document["edges"]}


needs_mlflow_3 = pytest.mark.skipif(
    not hasattr(mlflow, "create_external_model"), reason="MLflow 2 has no logged models"
)


@needs_mlflow_3
def test_an_alias_rests_on_everything_down_to_the_raw_data(churn: Churn) -> None:
    churn.change("1")
    run_id = churn.train()
    churn.finish()
    churn.register(run_id, "champion")
    done = mlflow_dvc("graph", "models:/churn@champion", "--json")
    (run,) = [node for node in done.json["nodes"] if node["kind"] == "run"]
    assert arrows(done.json) == {
        "data data/raw → stage prepare",
        "stage prepare → data data/processed",
        "data data/processed → stage train",
        f"stage train → run {run['name']}",
        f"run {run['name']} → data model.pkl",
        f"run {run['name']} → model net",
        "model net → version churn/1",
        "version churn/1 → alias churn@champion",
    }
    assert done.json["focus"] == ["version:churn/1"]
    assert (run["hash"], run["facts"]["data"], run["facts"]["status"]) == (
        run_id,
        "clean",
        "finished",
    )
    (made,) = [node for node in done.json["nodes"] if node["name"] == "model.pkl"]
    assert made["hash"] == md5("1\n")
    lines = mlflow_dvc("graph", "models:/churn@champion").stdout.splitlines()
    assert [re.sub(r"(\w)  .*", r"\1", line) for line in lines] == [
        "data",
        "└─ run",
        "   └─ stage",
        "      └─ data",
        "         └─ stage",
        "            └─ data",
        "alias",
        "└─ version",
        "   └─ model",
        "      └─ run",
    ]
    assert "asked for" in lines[7]
    assert "see above" in lines[9]


def test_the_stage_is_tied_to_what_it_read_not_to_what_is_there_now(
    churn: Churn, project: Project
) -> None:
    churn.change("1")
    project.write("data/raw/a.csv", "2\n")
    project.add("data/raw")
    run_id = churn.train()
    document = mlflow_dvc("graph", run_id, "--json").json
    raw = [node for node in document["nodes"] if node["name"] == "data/raw"]
    now = [
        e for e in mlflow_dvc("show", run_id, "--json").json["entries"] if e["path"] == "data/raw"
    ]
    assert len(raw) == 1, "the run did not use the new version: its stage's input rests on the old"
    assert raw[0]["hash"] != now[0]["hash"]


def test_a_lock_that_is_not_of_these_outs_says_nothing_of_their_deps() -> None:
    lock = b"""\
schema: '2.0'
stages:
  make:
    cmd: x
    deps: [{path: raw, md5: 111111111111111111111111111111aa, hash: md5}]
    outs: [{path: out, md5: 222222222222222222222222222222aa, hash: md5}]
"""
    raw = Entry("raw", "md5", "111111111111111111111111111111aa", metafile="raw.dvc")
    out = Entry("out", "md5", "222222222222222222222222222222aa", stage="make", metafile="dvc.lock")
    (step,) = find_steps((raw, out), {"dvc.lock": lock})
    assert [(e.path, e.hash) for e in step.deps] == [("raw", raw.hash)]
    (step,) = find_steps((raw, out._replace(hash="3" * 32)), {"dvc.lock": lock})
    assert step.deps == ()
    (step,) = find_steps((raw, out), {"dvc.lock": b"{"})
    assert step.deps == ()
    (step,) = find_steps((raw, out), {})
    assert step.deps == ()


def test_a_run_that_made_the_data_is_found(churn: Churn, project: Project) -> None:
    churn.change("1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_STAGE", "prepare")
        maker = churn.history.run()
    project.dvc("repro", "-q", "-f", "prepare")
    assert mlflow_dvc("link").code == 0
    run_id = churn.train()
    document = mlflow_dvc("graph", run_id, "--json").json
    by_id = names(document)
    assert by_id[f"run:{maker}"].startswith("run ")
    edges = {(e["source"], e["target"]) for e in document["edges"]}
    (processed,) = [key for key in by_id if by_id[key] == "data data/processed"]
    assert (f"run:{maker}", processed) in edges


def test_edited_data_is_marked(project: Project, history: History) -> None:
    project.add("data.csv", "1")
    clean = history.run()
    project.write("data.csv", "2")
    edited = history.run()
    document = mlflow_dvc("graph", clean, edited, "--json").json
    marks = {e["target"]: e["edited"] for e in document["edges"]}
    assert marks == {f"run:{clean}": False, f"run:{edited}": True}
    assert "it read something else" in mlflow_dvc("graph", edited).stdout
    assert "-. edited .->" in mlflow_dvc("graph", edited, "--mermaid").stdout


def test_without_a_run_the_graph_is_of_the_data_in_the_workspace(
    project: Project, history: History
) -> None:
    project.add("data.csv", "1")
    first = history.run()
    project.add("data.csv", "2")
    second = history.run()
    shown = mlflow_dvc("graph", "--json").json
    assert [node["hash"] for node in shown["nodes"] if node["kind"] == "run"] == [second]
    everything = mlflow_dvc("graph", "--experiment", "Default", "--json").json
    runs = {node["hash"] for node in everything["nodes"] if node["kind"] == "run"}
    assert runs == {first, second}


def test_a_run_whose_state_cannot_be_read_is_there_with_the_reason(
    project: Project, history: History
) -> None:
    project.add("data.csv", "1")
    run_id = history.run(tags={"dvc.schema": "1", "dvc.error": "no"})
    (node,) = mlflow_dvc("graph", run_id, "--json").json["nodes"]
    assert node["facts"]["data"] == "unknown"
    assert "capture failed" in node["facts"]["reason"]


@pytest.mark.usefixtures("history")
def test_wrong_usage_is_said(project: Project) -> None:
    project.add("data.csv", "1")
    assert mlflow_dvc("graph", "abc", "--experiment", "x").code == 2
    assert mlflow_dvc("graph", "--json", "--dot").code == 2
    assert mlflow_dvc("graph", "--mermaid", "--dot").code == 2
    assert "There is no run" in mlflow_dvc("graph", "abcdef").error
    assert mlflow_dvc("graph").stdout == "There are no runs on this data.\n"


def test_too_many_outs_are_counted(project: Project) -> None:
    for number in range(3):
        project.add(f"{number}.csv", str(number))
    (recorded,) = read_runs([record(project.path)], str(project.path))
    assert recorded.state is not None
    entries = recorded.state.entries
    many = tuple(entries[0]._replace(path=f"{n}.csv", hash=f"{n:032x}") for n in range(100))
    recorded = type(recorded)(recorded.run, recorded.state._replace(entries=many))
    graph = build_graph([recorded])
    assert len(graph.nodes) == MAX_OUTS + 1
    assert graph.remarks == (
        f"Run {recorded.run.run_id} used 100 outs, of which {MAX_OUTS} are shown.",
    )


def hostile_graph() -> Graph:
    kinds: tuple[NodeKind, ...] = get_args(NodeKind)
    nodes = tuple(
        Node(f"{kind}:{number}", kind, f"{number} {HOSTILE}", "0" * 32, {"data": "clean"})
        for number, kind in enumerate(kinds)
    )
    pairs = itertools.pairwise(nodes)
    return Graph(nodes, tuple(Edge(one.id, other.id) for one, other in pairs))


def test_dot_is_read_by_another_parser_as_it_was_meant() -> None:
    graph = hostile_graph()
    (parsed,) = pydot.graph_from_dot_data(to_dot(graph)) or [pydot.Dot()]
    found = {node.get_name(): node for node in parsed.get_nodes() if node.get_name()[0] == "n"}
    found.pop("node", None)
    assert len(found) == len(graph.nodes)
    assert len(parsed.get_edges()) == len(graph.edges)
    label = str(found["n0"].get("label"))
    plain = label[1:-1].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
    assert plain.startswith('0 <script>alert(1)</script>"]; n0 --> n1\n')


def test_mermaid_has_no_character_that_it_could_misread() -> None:
    text = to_mermaid(hostile_graph())
    labels = re.findall(r'"([^"\n]*)"', text)
    assert len(labels) == 6
    for label in labels:
        assert re.fullmatch(r"([\w .,:=+-]|#\d+;|<br/>)*", label, re.ASCII)
    assert len(text.splitlines()) == 1 + 6 + 5


def test_a_tree_shows_each_node_once_and_ends_in_a_circle() -> None:
    nodes = tuple(Node(name, "data", name) for name in "abcd")
    diamond = Graph(nodes, (Edge("a", "b"), Edge("a", "c"), Edge("b", "d"), Edge("c", "d")))
    lines = [(line.guides, line.node.id, line.repeated) for line in draw_tree(diamond)]
    assert lines == [
        ("", "d", False),
        ("├─ ", "b", False),
        ("│  └─ ", "a", False),
        ("└─ ", "c", False),
        ("   └─ ", "a", False),
    ]
    circle = Graph(nodes[:2], (Edge("a", "b"), Edge("b", "a")))
    assert [line.repeated for line in draw_tree(circle)] == [False, False, True]
    deep = tuple(Node(str(n), "data", str(n)) for n in range(5_000))
    chain = Graph(deep, tuple(Edge(str(n), str(n + 1)) for n in range(4_999)))
    assert sum(1 for _ in draw_tree(chain)) == 5_000


def test_addresses_of_pages_keep_names_apart_and_passwords_out() -> None:
    run = Run("a" * 32, "", "7", 0, {})
    model = Model("models:/a b/c?#/3", "a b/c?#", "3", "")
    pages = Pages("https://user:secret@host:5000/prefix/")
    assert pages.find_run(run) == f"https://host:5000/prefix/#/experiments/7/runs/{'a' * 32}"
    assert pages.find_model(model, "7").endswith("/#/models/a%20b%2Fc%3F%23/versions/3")
    assert pages.search("7", "tags.x = 'é&'").endswith(
        "?searchFilter=tags.x%20%3D%20%27%C3%A9%26%27"
    )
    for store in ("sqlite:///x.db", "databricks", "", "javascript:alert(1)", "file:///x"):
        assert Pages(store).find_run(run) == Pages(store).search("7", "x") == ""


@needs_mlflow_3
def test_openlineage_events_name_inputs_and_outputs(
    churn: Churn, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openlineage.client", reason="needs the extra `catalog`")
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "churn")
    churn.change("1")
    run_id = churn.train()
    churn.finish()
    churn.register(run_id, "champion")
    done = mlflow_dvc("graph", run_id, "--openlineage")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (prepare,) = [event for event in events if "run" not in event]
    start, end = (event for event in events if "run" in event)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == str(uuid.UUID(run_id))
    assert {event["job"]["namespace"] for event in events} == {"churn"}
    assert [event["job"]["name"] for event in (prepare, end)] == ["prepare", "train"]

    def versions(items: Any) -> dict[str, str]:
        return {i["name"]: i["facets"]["version"]["datasetVersion"] for i in items}

    (processed,) = versions(end["inputs"]).items()
    assert versions(prepare["outputs"]) == dict([processed])
    assert list(versions(prepare["inputs"])) == ["data/raw"]
    made = versions(end["outputs"])
    assert (made["model.pkl"], made["models:/churn"]) == (md5("1\n"), "1")


def test_without_openlineage_a_sentence_says_what_to_install(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("data.csv", "1")
    run_id = history.run()
    monkeypatch.setitem(__import__("sys").modules, "openlineage.client", None)
    assert (
        "pip install 'mlflow-dvc-plugin[catalog]'"
        in mlflow_dvc("graph", run_id, "--openlineage").error
    )


def validate(folder: Path, profile: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What RO-Crate's validator misses; it gets the context from a package, not from the web."""
    pytest.importorskip("rocrate_validator", reason="needs the extra `crates`")
    import email
    import io
    import urllib.request
    import urllib.response
    from importlib.resources import files

    import requests
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    # The package has the context of RO-Crate 1.3. In that of 1.1, this term was another.
    text = (files("rocrate") / "data" / "ro-crate.jsonld").read_text()
    context = text.replace("bioschemas.org/terms/Comp", "bioschemas.org/Comp").encode()

    def get(self: Any, url: str, **_: Any) -> requests.Response:  # noqa: ARG001
        answer = requests.Response()
        answer.status_code, answer._content = 200, context
        answer.headers["Content-Type"] = "application/ld+json"
        return answer

    class Handler(urllib.request.BaseHandler):
        handler_order = 1

        def https_open(self, request: urllib.request.Request) -> Any:
            headers = email.message_from_string("Content-Type: application/ld+json\n\n")
            body = io.BytesIO(context)
            answer = urllib.response.addinfourl(body, headers, request.full_url, 200)
            answer.msg = "OK"  # type: ignore[attr-defined]
            return answer

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(Handler))
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier=profile,
        requirement_severity=models.Severity.REQUIRED,
    )
    issues = services.validate(settings).get_issues()
    return [f"{issue.check.identifier}: {issue.message}" for issue in issues]


@pytest.mark.slow
@pytest.mark.parametrize("committed", [True, False])
def test_an_ro_crate_passes_the_validator(
    churn: Churn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    churn.change("1")
    if not committed:  # the pipeline of the run is nowhere
        churn.project.write("dvc.yaml", (churn.project.path / "dvc.yaml").read_text() + "\n")
    run_id = churn.train()
    churn.finish()
    churn.register(run_id, "champion")
    folder = tmp_path / "crate"
    assert mlflow_dvc("graph", run_id, "--ro-crate", str(folder)).code == 0
    assert (folder / "dvc.yaml").exists() is committed
    document = json.loads((folder / "ro-crate-metadata.json").read_text())
    by_id = {entity["@id"]: entity for entity in document["@graph"]}
    action = by_id[f"#run-{run_id}"]
    assert by_id[action["object"]["@id"]]["name"] == "data/processed"
    profile = "workflow-run-crate-0.5" if committed else "process-run-crate-0.5"
    assert validate(folder, profile, monkeypatch) == []
    broken = json.dumps(document).replace('"datePublished"', '"published"')
    (folder / "ro-crate-metadata.json").write_text(broken)
    assert validate(folder, profile, monkeypatch), "the validator does look"
    assert "is not empty" in mlflow_dvc("graph", run_id, "--ro-crate", str(folder)).error
