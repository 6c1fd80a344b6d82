"""Templates of dvc.yaml: resolved as DVC resolves them, and asked of DVC where need be."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.capturing import capture, reading
from mlflow_dvc_plugin.capturing.formats import dvc_resolver
from mlflow_dvc_plugin.errors import CaptureError
from tests.capturing.oracle import UNJUDGED, assert_same_outs, dvc_outs, our_outs
from tests.project import Project

PARAMS = """
a: 1
b: {c: x, d: [p, q], e: true, f: 1e-05, n: null}
lst: [one, two]
dct: {k1: {v: 1}, k2: {v: 2}}
bools: [true, false]
nums: [1, 2.0]
oct: 0o17
yes: no
"""


def stages(text: str) -> str:
    return "stages:\n" + "".join(f"  {line}\n" for line in text.strip("\n").splitlines())


# Resolved without DVC.
OWN = {
    "escape": stages("s: {cmd: x, outs: ['o/\\${a}', 'p ${ a }', '${b.c}': {cache: false}]}"),
    "wdir": stages("s: {cmd: x, wdir: '${b.c}', outs: ['../${b.f}-${b.e}-${b.n}-${yes}-${oct}']}"),
    "index": stages("s: {cmd: x, outs: ['${lst[1]}', '${lst.0}x', '${dct[k1].v}y']}"),
    "vars": "vars: [{m: {n: 1}}, other.json:q]\n"
    + stages("s: {cmd: 'x ${m}', vars: [{m: {o: 2}}], outs: ['o/${m.n}-${m.o}-${q.r}']}"),
    "vars of a stage": stages("s: {cmd: x, wdir: deep, vars: [own.yaml], outs: ['${own}-${a}']}"),
    "vars again": "vars: [params.yaml]\n" + stages("s: {cmd: x, outs: ['o${a}']}"),
    "foreach list": stages("s: {foreach: [a, b], do: {cmd: 'x ${item}', outs: ['o/${item}']}}"),
    "foreach paths": stages("s: {foreach: [a/b, 'c d'], do: {cmd: x, outs: ['${item}']}}"),
    "foreach map": stages(
        "s: {foreach: {a: {x: 1}, 2: {x: z}}, do: {cmd: x, outs: ['o/${key}-${item.x}']}}"
    ),
    "foreach of params": stages("s: {foreach: '${lst}', do: {cmd: x, outs: ['o/${item}/${b.c}']}}"),
    "foreach of a map": stages("s: {foreach: '${dct}', do: {cmd: x, outs: ['${key}/${item.v}']}}"),
    "foreach of scalars": stages(
        "s: {foreach: [true, 1.0, null, 0o17], do: {cmd: x, outs: ['o${item}']}}"
    ),
    "foreach of composites": stages("s: {foreach: [[a], {b: 3}, c], do: {cmd: x}}"),
    "foreach of templates": stages(
        "s: {foreach: ['${a}', '${b.c}x'], do: {cmd: x, outs: ['o${item}']}}"
    ),
    "foreach twice the same": stages("s: {foreach: [a, b, a], do: {cmd: x, outs: ['o${item}']}}"),
    "foreach of nothing": stages("s: {foreach: [], do: {cmd: x, outs: ['o${item}']}}"),
    "foreach in wdir": stages(
        "s: {foreach: [a, b], do: {cmd: x, wdir: 'w/${item}', outs: [o, ../p]}}"
    ),
    "matrix": stages(
        "s:\n  matrix: {x: [a, b], y: '${nums}', z: [{k: 1}, 4]}\n  cmd: x\n"
        "  wdir: w${item.x}\n  outs: ['o/${item.x}-${item.y}-${key}']"
    ),
    "command from a map": stages("s: {cmd: 'x ${dct} ${a}', outs: [o]}"),
    "sections": "metrics: ['${a}.json']\nplots: ['${b.c}.csv', p: {x: e}]\n"
    "artifacts: {m: {path: x}}\n"
    + stages("s: {cmd: x, outs: [o], plots: ['${a}.csv': {x: y, cache: false}]}"),
    "frozen": stages("s: {cmd: '${a}', frozen: true, desc: '${b.c}', outs: [o: {desc: '${a}'}]}"),
}

# Put to DVC.
ASKED = {
    "foreach of booleans": stages("s: {foreach: '${bools}', do: {cmd: x, outs: ['o${item}']}}"),
    "params in TOML": "vars: [p.toml]\n" + stages("s: {cmd: x, outs: ['o/${t.u}']}"),
    "params in Python": "vars: [p.py]\n" + stages("s: {cmd: x, outs: ['o/${LR}']}"),
    "vars in parts": "vars: ['other.json:q', 'other.json:z']\n"
    + stages("s: {cmd: x, outs: ['${z}']}"),
    "odd keys": "vars: [{'a b': 3}]\n" + stages("s: {cmd: x, outs: ['o${a b}']}"),
}

REFUSED = {
    "missing": stages("s: {cmd: 'x ${nope}', outs: [o]}"),
    "missing in a section": "metrics: ['${nope}']\n" + stages("s: {cmd: x, outs: [o]}"),
    "number as out": stages("s: {cmd: x, outs: ['${a}']}"),
    "map as out": stages("s: {cmd: x, outs: ['o${b}']}"),
    "redefined": "vars: [{a: 2}]\n" + stages("s: {cmd: x, outs: ['o${a}']}"),
    "reserved": stages("s: {foreach: [a], do: {cmd: x, vars: [{item: 1}], outs: ['${item}']}}"),
    "name with @": stages("s@b: {cmd: x, outs: [o]}"),
    "key with @": stages("s: {foreach: [a@b], do: {cmd: x, outs: [o]}}"),
    "syntax": stages("s: {cmd: '${a[}', outs: [o]}"),
    "no vars file": "vars: [gone.yaml]\n" + stages("s: {cmd: '${a}', outs: [o]}"),
    "template in vars": "vars: [{v: '${a}'}]\n" + stages("s: {cmd: '${v}', outs: [o]}"),
    "foreach of a number": stages("s: {foreach: '${a}', do: {cmd: x}}"),
}


@pytest.fixture
def templated(project: Project) -> Project:
    for base in ("", "sub/"):
        project.write(f"{base}params.yaml", PARAMS)
        project.write(f"{base}other.json", '{"q": {"r": 5}, "z": "one"}')
        project.write(f"{base}p.toml", "[t]\nu = 3\n")
        project.write(f"{base}p.py", "LR = 0.1\n")
        project.write(f"{base}deep/own.yaml", "own: mine\n")
    return project


@pytest.mark.parametrize("form", OWN)
def test_what_is_resolved_here(
    templated: Project, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("DVC was asked")

    monkeypatch.setattr(dvc_resolver, "resolve_with_dvc", refuse)
    templated.write("dvc.yaml", OWN[form])
    templated.write("sub/dvc.yaml", OWN[form])
    assert_same_outs(templated.path, at_least=0)


@pytest.mark.parametrize("form", ASKED)
def test_what_dvc_is_asked(templated: Project, form: str) -> None:
    templated.write("dvc.yaml", ASKED[form])
    templated.write("sub/dvc.yaml", ASKED[form])
    assert_same_outs(templated.path, at_least=2)


@pytest.mark.parametrize("form", REFUSED)
def test_what_dvc_refuses(templated: Project, form: str) -> None:
    templated.write("sub/dvc.yaml", REFUSED[form])
    with pytest.raises(Exception):  # noqa: B017, PT011 - DVC raises all kinds
        dvc_outs(templated.path)
    with pytest.raises(CaptureError) as caught:
        capture(templated.path, UNJUDGED)
    assert caught.value.where == "sub/dvc.yaml"
    assert "\n" not in str(caught.value)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often DVC is asked."""
    asked: list[str] = []
    original = dvc_resolver._run_dvc

    def count(data: bytes, project: str, metafile: str) -> dict[str, Any]:
        asked.append(metafile)
        return original(data, project, metafile)

    monkeypatch.setattr(dvc_resolver, "_run_dvc", count)
    monkeypatch.setattr(reading, "_readings", {})
    # What another process read would answer before DVC is asked at all.
    monkeypatch.setattr(reading, "_save", lambda *_: None)
    return asked


def test_dvc_is_asked_once_for_each_content(
    templated: Project, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def outs() -> list[str]:
        monkeypatch.setattr(reading, "_readings", {})  # as in another process
        return [row[0] for row in our_outs(templated.path)]

    templated.write("dvc.yaml", ASKED["params in Python"])
    assert outs() == outs() == ["o/0.1"]
    assert len(counted) == 1
    templated.write("p.py", "LR = 0.2\n")
    assert outs() == outs() == ["o/0.2"]
    assert len(counted) == 2
    # A file that was not there is part of the content, too.
    (templated.path / "params.yaml").unlink()
    assert outs() == outs() == ["o/0.2"]
    assert len(counted) == 3


def test_another_version_of_dvc_is_asked_again(
    templated: Project, counted: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    templated.write("dvc.yaml", ASKED["params in Python"])
    our_outs(templated.path)
    our_outs(templated.path)
    assert len(counted) == 1
    (tmp_path / "_version.py").write_text("another")
    other = ModuleSpec("dvc", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: other)
    monkeypatch.setattr(reading, "_readings", {})
    our_outs(templated.path)
    assert len(counted) == 2
    (tmp_path / "_version.py").write_text("a third")
    our_outs(templated.path)  # in the same process
    assert len(counted) == 3


@pytest.mark.parametrize("damage", [b"", b"garbage", b"{}", b"0\n{}"])
def test_kept_answer_that_is_of_no_use(
    templated: Project, counted: list[str], damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    templated.write("dvc.yaml", ASKED["params in Python"])
    expected = our_outs(templated.path)
    (kept,) = (templated.path / ".dvc" / "tmp" / "mlflow-dvc").iterdir()
    body = json.loads(kept.read_bytes().partition(b"\n")[2])
    body["stages"]["s"]["outs"] = ["lie"]
    kept.write_bytes(damage or kept.read_bytes().partition(b"\n")[0] + json.dumps(body).encode())
    monkeypatch.setattr(reading, "_readings", {})
    assert our_outs(templated.path) == expected
    assert len(counted) == 2


def test_without_dvc(templated: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden" / "dvc"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('No module named dvc')")
    monkeypatch.setenv("PYTHONPATH", os.fspath(hidden.parent))
    templated.write("dvc.yaml", ASKED["params in TOML"])
    with pytest.raises(CaptureError, match="not installed"):
        capture(templated.path, UNJUDGED)


def test_the_projects_own_modules_are_not_asked(templated: Project) -> None:
    for name in ("dvc.py", "yaml.py", "json.py", "config.py"):
        templated.write(name, "raise SystemExit('a module of the project')")
    templated.write("dvc.yaml", ASKED["params in TOML"])
    assert_same_outs(templated.path)


@pytest.mark.parametrize(
    ("python", "reason"),
    {
        "": "its templates need DVC, and there is no Python interpreter to run DVC with",
        "gone": "its templates need DVC, and DVC cannot run: ",
        "exit 0": "DVC could not resolve its templates",
        "echo '[1]'": "DVC could not resolve its templates",
        'echo \'{"stages": {"s": 5}, "files": {}}\'': "DVC could not resolve its templates",
        "echo one >&2; echo two >&2; exit 1": "DVC could not resolve its templates: two",
        "sleep 60": "DVC did not resolve its templates within 0.2 s",
    }.items(),
)
def test_a_python_that_cannot_run_dvc_is_one_sentence(
    templated: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, python: str, reason: str
) -> None:
    script = tmp_path / "python"
    if python != "gone":
        script.write_text(f"#!/bin/sh\n{python}\n")
        script.chmod(0o755)
    templated.write("dvc.yaml", ASKED["params in TOML"])
    monkeypatch.setattr(sys, "executable", os.fspath(script) if python else "")
    monkeypatch.setattr(dvc_resolver, "TIMEOUT_SECONDS", 0.2 if "sleep" in python else 20)
    with pytest.raises(CaptureError) as caught:
        capture(templated.path, UNJUDGED)
    assert str(caught.value).startswith(f"dvc.yaml: {reason}")
    assert "\n" not in str(caught.value)
