"""Every form of metafile that DVC reads: capture's outs equal those of DVC's index."""

# Each form on a line of its own.
# ruff: noqa: E501

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.errors import CaptureError
from tests.capturing.oracle import UNJUDGED, assert_same_outs, dvc_outs, our_outs
from tests.effort import bounded
from tests.project import Project

MD5 = "0123456789abcdef0123456789abcdef"

DVC_FILES = {
    "plain": f"outs:\n- md5: {MD5}\n  size: 3\n  hash: md5\n  path: data.csv\n",
    "folder": f"outs:\n- md5: {MD5}.dir\n  size: 3\n  nfiles: 2\n  hash: md5\n  path: data\n",
    "of DVC 2": f"outs:\n- md5: {MD5}\n  size: 3\n  path: data.csv\n",
    "folder of DVC 2": f"outs:\n- md5: {MD5}.dir\n  nfiles: 7\n  path: data\n",
    "several outs": f"outs:\n- md5: {MD5}\n  path: a\n- path: b\n- md5: {MD5}\n  hash: md5\n  path: c/d\n",
    "no hash": "outs:\n- path: never\n  hash: md5\n",
    "false as hash": "outs:\n- md5: false\n  hash: md5\n  path: a\n",
    "empty hash": "outs:\n- path: never\n  md5: ''\n  hash: md5\n",
    "null hash": "outs:\n- path: never\n  md5:\n  hash: md5\n",
    "wdir": f"wdir: ../elsewhere\nouts:\n- md5: {MD5}\n  hash: md5\n  path: data.csv\n",
    "odd paths": "outs:\n"
    + "".join(
        f"- {{md5: {MD5}, hash: md5, path: '{path}'}}\n"
        for path in (
            "./a", "b//c", "d/", "e/../f", "../g", "h i", "j|k", "l=m", 'n"o', "p''q", "é/日本",
            "no", "1_000", "2024-01-01", "r:s", "t?u#v", "~/w", "x\\y", "%20", "-z", "#c", "🎉",
        )
    ),
    "plain scalars": "outs:\n"
    + "".join(
        f"- path: {path}\n  md5: {MD5}\n" for path in ("no", "on", "yes", "12:30:45", "y", "0x", "1e", "1.2.3", ".a")
    ),
    "import": f"""
frozen: true
deps:
- path: data/data.xml
  repo:
    url: https://example.com/registry
    rev_lock: {MD5}01234567
outs:
- md5: {MD5}
  size: 14445097
  hash: md5
  path: data.xml
  push: false
""",
    "import-url": f"""
md5: {MD5}
frozen: true
deps:
- checksum: '"abc-DEF"'
  size: 4
  path: https://example.com/data.csv
outs:
- md5: {MD5}
  size: 4
  hash: md5
  path: data.csv
""",
    "import-url of a local file": f"deps:\n- md5: {MD5}\n  hash: md5\n  path: /srv/x\nouts:\n- md5: {MD5}\n  hash: md5\n  path: x\n",
    "partial import": "deps:\n- path: https://example.com/a\n  checksum: abcd\nouts:\n- path: a\n  hash: md5\n",
    "import-db": f"deps:\n- db:\n    query: select 1\n    connection: c\nouts:\n- md5: {MD5}\n  hash: md5\n  path: t.csv\n",
    "cloud-versioned": f"""
outs:
- path: data.xml
  size: 10
  hash: md5
  md5: {MD5}
  cloud:
    store:
      etag: ABC
      version_id: v1
""",
    "cloud-versioned folder": f"""
outs:
- path: data
  hash: md5
  files:
  - relpath: b/c.txt
    md5: {MD5}
    size: 3
    cloud: {{store: {{etag: Xyz, version_id: '1'}}}}
  - relpath: a.txt
    md5: {MD5[::-1]}
    size: 4
  - relpath: é.txt
    md5: {MD5}
  - relpath: none.txt
    size: 9
""",
    "cloud-versioned folder of DVC 2": f"outs:\n- path: d\n  files:\n  - {{relpath: a, md5: {MD5}}}\n",
    "annotations": f"""
meta: {{any: [1, {{x: 2020-01-01}}], 3: y}}
desc: 'a: b'
outs:
- md5: {MD5}
  hash: md5
  path: model.pkl
  desc: text
  type: model
  labels: [a, b]
  meta: {{k: v}}
  remote: other
  push: false
  cache: false
  persist: true
  isexec: true
""",
    "CRLF": f"outs:\r\n- md5: {MD5}\r\n  path: a b.csv\r\n",
    "no final newline": f"outs:\n- md5: {MD5}\n  path: a",
    "comments": f"# x\nouts: # y\n- md5: {MD5} # z\n  path: a#b # c\n",
    "byte order mark": f"\ufeffouts:\n- md5: {MD5}\n  path: a\n",
    "flow": f"{{outs: [{{md5: {MD5}, path: a}}]}}",
    "folded": f'outs:\n- path: >-\n    a b\n    c\n  md5: {MD5}\n- path: |-\n    literal\n- path: "dq\\u00e9 \\\n    x"\n',
    "anchors": f"meta:\n  x: &x\n    md5: {MD5}\n    hash: md5\nouts:\n- <<: *x\n  path: a\n- <<: [*x, {{size: 3}}]\n  md5: {MD5[::-1]}\n  path: b\n",
    "numbers": f"outs:\n- {{path: a, size: 0o17, md5: {MD5}}}\n- {{path: b, size: 1_000}}\n- {{path: c, nfiles: 0x1F}}\n- {{path: d, size: +12}}\n",
    "tags": f"outs:\n- {{path: !!str 12, md5: !!str {MD5}, size: !!int 3}}\n",
    "empty": "",
    "empty list": "outs: []\n",
    "nulls": "wdir:\ndeps:\nouts:\n",
    "external": f"outs:\n- {{path: /srv/data/x, md5: {MD5}}}\n- {{path: ../out, md5: {MD5}, hash: md5}}\n",
    "http out": "outs:\n- {path: 'https://example.com/x', checksum: abcd}\n",
    "another hash": "outs:\n- {path: a, hash: sha256, md5: abcd}\n- {path: b, hash: etag, etag: AbCd}\n",
    "folder with etag": f"outs:\n- {{path: a, hash: etag, nfiles: 3, md5: {MD5}.dir}}\n",
    "directive": f"%YAML 1.2\n---\nouts:\n- path: a\n  md5: {MD5}\n...\n",
    "key that is a list": "meta: {[1, 2]: 3}\nouts:\n- path: a\n",
    "same out twice": "outs:\n- path: a\n- path: a\n",
}  # fmt: skip


@pytest.mark.versions
@pytest.mark.windows
@pytest.mark.parametrize("form", DVC_FILES)
def test_dvc_file(project: Project, form: str) -> None:
    project.write("elsewhere/.keep", "")
    project.write("sub/some.dvc", DVC_FILES[form].encode())
    assert_same_outs(project.path, at_least=0)


REFUSED: dict[str, str | bytes] = {
    "cmd": "cmd: x\nouts:\n- path: a\n",
    "metric": "outs:\n- {path: a, metric: true}\n",
    "unknown key": "outs:\n- {path: a, colour: red}\n",
    "no path": "outs:\n- md5: abcd\n",
    "true as hash": "outs:\n- md5: true\n  hash: md5\n  path: a\n",
    "number as path": "outs:\n- path: 12\n",
    "date as path": "outs:\n- path: 2024-01-01\n",
    "size as text": "outs:\n- {path: a, size: '3'}\n",
    "size as float": "outs:\n- {path: a, size: 3.5}\n",
    "float as hash": "outs:\n- {path: a, md5: 1.5}\n",
    "short hash": "outs:\n- {path: a, md5: ab}\n",
    "yes": "outs:\n- {path: a, cache: yes}\n",
    "duplicate key": "outs:\n- path: a\n  path: b\n",
    "two documents": "outs: []\n---\nouts: []\n",
    "unknown tag": "outs:\n- path: !x a\n",
    "text": "just text\n",
    "merge marks": "<<<<<<< HEAD\nouts:\n=======\nouts:\n>>>>>>> x\n",
    "jinja": "outs:\n- path: {{ path }}\n",
    "tabs": "outs:\n\t- path: a\n",
    "not UTF-8": b"outs:\n- path: \xff\n",
    "NUL": b"outs:\n- path: a\0b\n",
    "an out that is a DVC file": "outs:\n- path: b.dvc\n",
    "an ignored out": "outs:\n- path: .git/x\n",
    "unknown remote": "outs:\n- path: remote://nowhere/x\n",
    "two clouds": "outs:\n- {path: a, cloud: {x: {etag: abc}, y: {etag: abc}}}\n",
    "key that is a mapping": "meta: {{a: 2}: 3}\nouts:\n- path: a\n",
    "undefined alias": "outs: *x\n",
}


@pytest.mark.versions
@pytest.mark.parametrize("form", REFUSED)
def test_what_dvc_refuses_is_an_error_that_names_the_file(project: Project, form: str) -> None:
    content = REFUSED[form]
    project.write("sub/bad.dvc", content)
    with pytest.raises(Exception):  # noqa: B017, PT011 - DVC raises all kinds
        dvc_outs(project.path)
    with pytest.raises(CaptureError) as caught:
        capture(project.path, UNJUDGED)
    assert caught.value.where == "sub/bad.dvc"
    assert "\n" not in str(caught.value)


PIPELINES: dict[str, dict[str, str]] = {
    "plain": {
        "dvc.yaml": """
stages:
  a:
    cmd: x
    deps: [in, params.yaml]
    params: [lr, other.yaml: [z]]
    outs:
    - data
    - kept: {persist: true, cache: true}
    - git.txt: {cache: false}
    - far: {remote: r, push: false, desc: x, type: t, labels: [l], meta: {m: 1}}
    metrics: [m.json: {cache: false}]
    plots:
    - p.csv: {x: a, y: b, cache: false, header: true}
    - plain.csv
  b: {cmd: [x, y], frozen: true, outs: [new]}
  c: {cmd: z, deps: [data]}
""",
        "dvc.lock": f"""
schema: '2.0'
stages:
  a:
    cmd: old
    deps: [{{path: in, md5: {MD5}}}]
    outs:
    - {{path: data, md5: {MD5}.dir, size: 3, nfiles: 2, hash: md5}}
    - {{path: git.txt, md5: {MD5}, size: 3, hash: md5, isexec: true}}
    - {{path: kept, md5: {MD5}, size: 3}}
    - {{path: gone, md5: {MD5}, hash: md5}}
  stale:
    cmd: x
    outs: [{{path: stale, md5: {MD5}, hash: md5}}]
""",
    },
    "wdir": {
        "sub/dvc.yaml": "stages:\n  a:\n    cmd: x\n    wdir: ../other\n    outs: [a, ../b, ./c, d/, e//f, g/../h]\n",
        "sub/dvc.lock": f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - {{path: ../b, md5: {MD5}, hash: md5}}\n    - {{path: ./c, md5: {MD5}, hash: md5}}\n    - {{path: d, md5: {MD5}, hash: md5}}\n    - {{path: e//f, md5: {MD5}, hash: md5}}\n",
    },
    "without lock": {"dvc.yaml": "stages:\n  a: {cmd: x, outs: [a, b: {cache: false}]}\n"},
    "lock alone": {"dvc.lock": f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs: [{{path: a, md5: {MD5}}}]\n"},
    "broken lock alone": {"dvc.lock": "<<<<<<< HEAD\n"},
    "lock without stages": {"dvc.yaml": "stages:\n  a: {cmd: x, outs: [a]}\n", "dvc.lock": "schema: '2.0'\n"},
    "top-level sections": {
        "dvc.yaml": """
vars: [{v: 1}]
params: [params.yaml]
metrics: [top.json, '${v}.json']
plots:
- top.csv
- named: {x: a, y: {top.csv: [b, c]}, title: t}
- bare:
artifacts:
  model: {path: m.pkl, type: model, labels: [x], desc: d, meta: {a: b}}
datasets:
- {name: ds, type: url, url: 'https://example.com/x'}
stages:
  a: {cmd: x, deps: ['ds://ds', m.pkl], outs: [top.json]}
""",
        "dvc.lock": "schema: '2.0'\ndatasets:\n- {name: ds, type: url, url: x}\nstages:\n  a:\n    cmd: x\n    deps: [{path: 'ds://ds', dataset: {name: ds}}]\n",
    },
    "only sections": {"dvc.yaml": "metrics: [a.json]\n"},
    "empty": {"dvc.yaml": ""},
    "several": {
        "dvc.yaml": "stages:\n  s: {cmd: x, outs: [s]}\n",
        "a/dvc.yaml": "stages:\n  s: {cmd: x, outs: [s]}\n",
        "a/b/dvc.yaml": "stages:\n  s: {cmd: x, outs: [../s2]}\n",
        "a/b/dvc.lock": f"schema: '2.0'\nstages:\n  s:\n    cmd: x\n    outs: [{{path: ../s2, md5: {MD5}, hash: md5}}]\n",
    },
    "cloud": {
        "dvc.yaml": "stages:\n  s: {cmd: x, outs: [d, f]}\n",
        "dvc.lock": f"schema: '2.0'\nstages:\n  s:\n    cmd: x\n    outs:\n    - path: d\n      hash: md5\n      files:\n      - {{relpath: a, md5: {MD5}, size: 3, cloud: {{r: {{version_id: v}}}}}}\n    - {{path: f, md5: {MD5}, hash: md5, cloud: {{r: {{version_id: v, etag: e-1}}}}}}\n",
    },
    "external": {
        "dvc.yaml": "stages:\n  s: {cmd: x, outs: [/srv/x: {cache: false}, ../../far: {cache: false}]}\n",
        "dvc.lock": f"schema: '2.0'\nstages:\n  s:\n    cmd: x\n    outs: [{{path: /srv/x, md5: {MD5}}}]\n",
    },
    "anchors": {
        "dvc.yaml": "vars:\n- common: &c\n    cache: false\nstages:\n  a: &a\n    cmd: x\n    outs: [a: *c]\n  b:\n    <<: *a\n    outs: [b: {<<: *c, persist: true}]\n",
    },
    "odd names": {"dvc.yaml": "stages:\n  'ä ö': {cmd: x, outs: ['ä|ö', 'no', '1_000', '2024-01-01', 'a: b', '''']}\n"},
}  # fmt: skip


def write_all(project: Project, files: dict[str, str]) -> None:
    for name in ("other", "sub"):
        project.write(f"{name}/.keep", "")
    for name, content in files.items():
        project.write(name, content)


@pytest.mark.versions
@pytest.mark.windows
@pytest.mark.parametrize("form", PIPELINES)
def test_pipeline(project: Project, form: str) -> None:
    write_all(project, PIPELINES[form])
    assert_same_outs(project.path, at_least=0)


REFUSED_PIPELINES: dict[str, dict[str, str]] = {
    "live": {"dvc.yaml": "stages:\n  a: {cmd: x, live: {l: {}}}\n"},
    "no cmd": {"dvc.yaml": "stages:\n  a: {outs: [a]}\n"},
    "list of stages": {"dvc.yaml": "stages: [a]\n"},
    "empty stages": {"dvc.yaml": "stages:\n"},
    "number as out": {"dvc.yaml": "stages:\n  a: {cmd: x, outs: [12]}\n"},
    "foreach without do": {"dvc.yaml": "stages:\n  a: {foreach: [a]}\n"},
    "foreach of a number": {"dvc.yaml": "stages:\n  a: {foreach: 3, do: {cmd: x}}\n"},
    "lock without schema": {"dvc.yaml": "stages:\n  a: {cmd: x}\n", "dvc.lock": "a:\n  cmd: x\n"},
    "lock of schema 1": {"dvc.yaml": "stages:\n  a: {cmd: x}\n", "dvc.lock": "schema: '1.0'\n"},
    "number as schema": {"dvc.yaml": "stages:\n  a: {cmd: x}\n", "dvc.lock": "schema: 2.0\n"},
    "empty lock": {"dvc.yaml": "stages:\n  a: {cmd: x}\n", "dvc.lock": ""},
    "lock with merge marks": {
        "dvc.yaml": "stages:\n  a: {cmd: x}\n",
        "dvc.lock": "schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n",
    },
    "plots in a list": {"dvc.yaml": "stages:\n  a: {cmd: x, plots: [p.csv: [{x: a}]]}\n"},
}


@pytest.mark.parametrize("form", REFUSED_PIPELINES)
def test_pipeline_that_dvc_refuses(project: Project, form: str) -> None:
    write_all(project, REFUSED_PIPELINES[form])
    with pytest.raises(Exception):  # noqa: B017, PT011 - DVC raises all kinds
        dvc_outs(project.path)
    with pytest.raises(CaptureError) as caught:
        capture(project.path, UNJUDGED)
    assert caught.value.where in REFUSED_PIPELINES[form]


def test_hashes_of_digits_and_in_capitals(tmp_path: Path) -> None:
    """DVC's schema means to read both, though its index keeps the one and trips over the other."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "a.dvc").write_text(f"outs:\n- {{md5: {'1' * 32}, path: a}}\n")
    (tmp_path / "b.dvc").write_text(f"outs:\n- {{md5: {MD5.upper()}.dir, path: b}}\n")
    rows = our_outs(tmp_path)
    assert [row[2] for row in rows] == ["1" * 32, f"{MD5}.dir"]
    assert [row[5] for row in rows] == [False, True]


SEGMENTS = ("a", "b", "data", "x y", "é", ".", "..", "", "no", "1e3", "a=b", "{n}")


def _random_path(choose: random.Random, number: int) -> str:
    parts = [choose.choice(SEGMENTS) for _ in range(choose.randint(0, 3))]
    path = "/".join([*parts, f"out{number}"]).lstrip("/")
    return f"{path}/" if choose.random() < 0.1 else path


def _random_record(choose: random.Random, path: str) -> dict[str, Any]:
    record: dict[str, Any] = {"path": path}
    folder = choose.random() < 0.3
    if choose.random() < 0.9:
        record["md5"] = f"{choose.getrandbits(128):032x}" + (".dir" if folder else "")
    if choose.random() < 0.7:
        record["hash"] = "md5"
    if choose.random() < 0.7:
        record["size"] = choose.randint(0, 10**12)
    if folder and choose.random() < 0.8:
        record["nfiles"] = choose.randint(0, 1000)
    if choose.random() < 0.2:
        record["isexec"] = True
    if choose.random() < 0.1:
        record["cloud"] = {"r": {"etag": "AbC-1", "version_id": "v1"}}
    return record


@pytest.mark.slow
def test_random_projects(project: Project) -> None:
    choose = random.Random(11)
    compared = 0
    projects = bounded(20, 200)
    for _ in range(projects):
        number = 0
        for base in ("", "sub/", "sub/deep/"):
            stages: dict[str, Any] = {}
            lock: dict[str, Any] = {}
            for index in range(choose.randint(1, 6)):
                outs, records = [], []
                for _ in range(choose.randint(0, 4)):
                    number += 1
                    path = _random_path(choose, number)
                    flags = {
                        key: value
                        for key, value in {
                            "cache": choose.random() < 0.5,
                            "push": choose.random() < 0.5,
                            "persist": True,
                            "remote": "r",
                            "desc": "text",
                        }.items()
                        if choose.random() < 0.3
                    }
                    outs.append({path: flags} if flags else path)
                    if choose.random() < 0.8:
                        records.append(_random_record(choose, path))
                section = choose.choice(("outs", "metrics", "plots"))
                stages[f"s{index}"] = {"cmd": "x", section: outs, "deps": ["in"]}
                if choose.random() < 0.4:
                    stages[f"s{index}"]["wdir"] = choose.choice(("..", "w", "./w/../v", "../w x"))
                if choose.random() < 0.8:
                    lock[f"s{index}"] = {"cmd": "x", "outs": records}
            if not base:  # every out has to be in the project
                for stage in stages.values():
                    stage.pop("wdir", None)
            project.write(f"{base}dvc.yaml", json.dumps({"stages": stages}))
            project.write(f"{base}dvc.lock", json.dumps({"schema": "2.0", "stages": lock}))
            record = _random_record(choose, _random_path(choose, number + 1))
            project.write(f"{base}single.dvc", json.dumps({"outs": [record]}))
            number += 1
        expected = dvc_outs(project.path)
        compared += len(expected)
        assert our_outs(project.path) == expected
    assert compared > 1000 * projects / 60
