"""Whatever a run's tags say, a restore works inside the project, or says in one line why not."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import zlib
from base64 import b85encode
from collections.abc import Callable, Mapping
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_dvc_plugin.errors import MlflowDvcError, NoRecordedStateError
from mlflow_dvc_plugin.git import resolve_commit
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState, Entry, manifest
from mlflow_dvc_plugin.state.objects import build_listing
from mlflow_dvc_plugin.state.tags import build_manifest_tags
from mlflow_dvc_plugin.tracking import Run
from tests.effort import bounded
from tests.project import Project
from tests.record import snapshot
from tests.restoring.test_hostile import ODD_STAGES, ODD_YAML, everything

RUN_ID = "e" * 32
CONTENTS = (b"1", b"2", b"a\r\nb", b"")
HASHES = [md5(data).hexdigest() for data in CONTENTS]
PATHS = (
    *("data/a", "model", "dir", "new", "new/file", "dir/x", "dir/y/z", "metrics.json", "é/日本"),
    *("linked/a", "linked", "nested/a", "nested", ".gitignore", "dvc.yaml", "dvc.lock", "a.dvc"),
    *(".git/config", ".GIT/hooks/x", ".dvc/config", ".dvc/tmp/x", "git~1/x", "../outside/file"),
    *("a/../../x", "./a", "a//b", "", ".", "..", "~", "a\0b", "a\nb", "s3://evil/x", "\udcff"),
    *("/x", "-x", "a\\b"),
    *("k" * 255, "k" * 252, "/".join(["k" * 200] * 30), "x/" * 254 + "x", "x/" * 300 + "x"),
)  # fmt: skip
METAFILES = {
    "data/a.dvc": f"outs:\n- md5: {HASHES[1]}\n  size: 1\n  hash: md5\n  path: a\n",
    "model.dvc": "deps:\n- path: http://evil.example/a\nouts:\n- path: model\n",
    "new.dvc": f"wdir: ../outside\nouts:\n- md5: {HASHES[0]}\n  hash: md5\n  path: file\n",
    "dir.dvc": "outs: [{path: ../outside}]\n",
    "dvc.lock": f"schema: '2.0'\nstages:\n  make:\n    cmd: touch evil\n    outs:\n"
    f"    - path: model\n      md5: {HASHES[0]}\n",
    "dvc.yaml": "stages: {evil: {cmd: touch evil, outs: [model]}}\n",
    "../x.dvc": "outs: []\n",
    ".git/hooks/x": "#!/bin/sh\n",
}
LISTINGS = (
    *({"x": HASHES[0], "y/z": HASHES[1]}, {"x": HASHES[1], "new": HASHES[2]}, {}),
    *({path: HASHES[0]} for path in PATHS[15:30] if path.isprintable()),
    *({"a": "../../x"}, {"a": HASHES[0], "a/b": HASHES[1]}, {"x": "f" * 32}),
)

texts = st.text(max_size=12)
paths = st.sampled_from(PATHS) | st.sampled_from(PATHS[:7]) | texts
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | paths,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def listing_hashes() -> list[str]:
    return [build_listing(members)[0].value for members in LISTINGS]


hashes = (
    st.sampled_from(HASHES)
    | st.sampled_from(listing_hashes())
    | st.sampled_from(["f" * 32, "f" * 32 + ".dir", "../../x", "", "A" * 32, None])
)
metafile_names = st.sampled_from([*METAFILES, "", "data/a", "x.py", "new/file.dvc"]) | texts
sound_entries = st.builds(
    Entry,
    path=st.sampled_from(PATHS[:8]),
    hash_name=st.just("md5"),
    hash=st.sampled_from([*HASHES, *listing_hashes()[:3]]),
    cached=st.sampled_from([True, True, True, False]),
    stage=st.sampled_from([None, None, "make"]),
    isexec=st.booleans(),
).map(lambda e: e._replace(metafile="dvc.lock" if e.stage else f"{e.path}.dvc"))
any_entries = st.builds(
    Entry,
    path=paths,
    hash_name=st.sampled_from(["md5", "md5", "md5", "md5-dos2unix", "etag"]) | texts,
    hash=hashes,
    size=st.none() | st.integers(0, 2**63 - 1),
    nfiles=st.none() | st.integers(0, 2**63 - 1),
    isdir=st.booleans(),
    cached=st.sampled_from([True, True, True, False]),
    input=st.booleans(),
    stage=st.none() | st.sampled_from(["make", "evil", "sub/dvc.yaml:make"]) | texts,
    metafile=metafile_names,
    isexec=st.booleans(),
    remote=st.none() | st.sampled_from(["nobody", "--x", "http://evil.example/x", "/etc"]),
    push=st.booleans(),
    kind=st.sampled_from(["plain", "plain", "plain", "import", "import-url", "cloud-versioned"]),
).map(lambda e: e if e.metafile or not e.hash else e._replace(metafile=f"{e.path}.dvc"))
entry_lists = st.tuples(
    st.lists(sound_entries, max_size=3, unique_by=lambda e: e.path),
    st.sampled_from([0, 0, 1, 2]).flatmap(lambda n: st.lists(any_entries, max_size=n)),
).map(lambda both: (*both[0], *both[1]))
ODD_LOCKS = [f"schema: '2.0'\nstages: {{make: {text}}}\n" for text in ODD_STAGES]
metafiles = st.dictionaries(
    metafile_names,
    st.sampled_from([*METAFILES.values(), *ODD_LOCKS, *ODD_YAML]).map(os.fsencode)
    | st.binary(max_size=40),
    max_size=3,
)
manifests = st.builds(
    manifest.Manifest,
    entries=entry_lists,
    removed=st.lists(paths, max_size=2).map(tuple),
    complete=st.sampled_from([True, True, False]),
    metafiles=metafiles,
    pipelines=st.dictionaries(metafile_names, texts, max_size=2),
)
facts = st.sampled_from(
    [
        *(("dvc.root", value) for value in ("..", "/", "nested", "a\0b", "x" * 5000)),
        *(("dvc.git_commit", value) for value in ("HEAD", "0" * 40, "--output=x")),
        *(("dvc.git_commit", value) for value in ("<first>", "<last>") * 5),
        *(("dvc.status", value) for value in ("clean", "modified", "saved", "x")),
        *(("dvc.modified", value) for value in ("data/a", ",,", "../x")),
        *(("dvc.stage", value) for value in ("make", "train", "")),
        *(("dvc.forgotten", value) for value in ("2 objects, 2026-11-26", "9 objects")),
        ("dvc.schema", "2"),
        ("dvc.error", "a\n\x1b[2J"),
    ]
)
options = st.fixed_dictionaries(
    {
        "paths": st.sampled_from([None, None, None, []]) | st.lists(paths, max_size=2),
        "out": st.sampled_from([None, None, "../out"]),
        "dry_run": st.booleans(),
        "force": st.booleans(),
        "skip_forgotten": st.booleans(),
    }
)


def pack(document: Any, raw: bytes, files: Any) -> list[str]:
    """A manifest with any content, and a checksum that fits."""
    blocks = [zlib.compress(json.dumps(document).encode()), raw, b""]
    if files is not None:
        blocks[2] = zlib.compress(json.dumps(files).encode())
    sizes = len(blocks[0]), len(blocks[1])
    body = b"".join(blocks)
    checksum = md5(b"%d:%d:" % sizes + body).digest()[:8]
    data = b85encode(struct.pack(">8sII", checksum, *sizes) + body).decode()
    return [f"1:1:{len(data)}:{data}"]


@st.composite
def broken_manifests(draw: Callable[[Any], Any]) -> list[str]:
    """A sound manifest with a few of its values exchanged for others."""
    written: manifest.Manifest = draw(manifests)
    columns, raw, tables = manifest._to_columns(written.entries)
    document: Any = {
        "columns": columns,
        **tables,
        "removed": list(written.removed),
        "complete": written.complete,
        "pipelines": dict(written.pipelines),
    }
    files: Any = {path: data.decode("latin-1") for path, data in written.metafiles.items()}
    for _ in range(draw(st.integers(1, 3))):
        place, key = document, draw(st.sampled_from(sorted(document)))
        while isinstance(place[key], list) and place[key] and draw(st.booleans()):
            place, key = place[key], draw(st.integers(0, len(place[key]) - 1))
        place[key] = draw(json_values)
    return pack(document, raw, draw(st.just(files) | st.none() | json_values))


@st.composite
def tags(draw: Callable[[Any], Any]) -> dict[str, str]:
    found: dict[str, str] = {"dvc.schema": "1", "dvc.data_hash": "0" * 32}
    form = draw(st.sampled_from(["manifest"] * 6 + ["broken"] * 3 + ["state", "none"]))
    if form == "manifest":
        found.update(build_manifest_tags(manifest.dump(draw(manifests))))
    elif form == "broken":
        found.update(build_manifest_tags(draw(broken_manifests())))
    elif form == "state":
        found.update(DataState(".", draw(entry_lists), metafiles=draw(metafiles)).to_tags())
    found.update(draw(st.lists(facts, max_size=3)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        key = draw(st.sampled_from(sorted(found)))
        at = draw(st.integers(0, len(found[key])))
        until = at + draw(st.integers(0, 3))
        found[key] = found[key][:at] + draw(st.text(max_size=3)) + found[key][until:]
    return found


@pytest.fixture(autouse=True)
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt to open a connection fails the test."""

    def refuse(*args: object) -> None:
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A folder with a project that has all kinds of outs, and something outside it."""
    made = tmp_path / "template"
    project = Project.create(made / "project")
    for number, content in enumerate(CONTENTS):
        project.add("data/a", content)
        project.write("dir/x", CONTENTS[0])
        project.write("dir/y/z", content)
        project.add("dir")
        project.write("metrics.json", f"{number}")
        project.write(
            "dvc.yaml",
            "stages:\n  make:\n    cmd: touch model\n    outs: [model]\n"
            "    metrics: [metrics.json: {cache: false}]\n",
        )
        project.write("model", content)
        with project.opened() as repo:
            repo.commit(force=True)
        project.commit()
    for members in LISTINGS:
        obj, data = build_listing(members)
        target = project.path / ".dvc/cache/files/md5" / obj.value[:2] / obj.value[2:]
        if not target.exists():
            project.write(os.path.relpath(target, project.path), data)
            target.chmod(0o444)
    (made / "outside").mkdir()
    (made / "outside" / "file").write_text("precious")
    (project.path / "linked").symlink_to("../outside")
    (project.path / "nested" / ".dvc").mkdir(parents=True)
    return made


def seal(run_tags: Mapping[str, str], project: Path) -> Run:
    """A run with these tags, a commit that exists, and the fingerprint that fits them."""
    for name, rev in (("<first>", "HEAD~3"), ("<last>", "HEAD")):
        if run_tags.get("dvc.git_commit") == name:
            run_tags = {**run_tags, "dvc.git_commit": resolve_commit(str(project), rev)}
    run = Run(RUN_ID, "", "0", 0, run_tags)
    try:
        load_state(run, project=str(project))
    except NoRecordedStateError as err:
        if match := re.search(r"has ([0-9a-f]{32}): ", str(err)):
            run = Run(RUN_ID, "", "0", 0, {**run_tags, "dvc.data_hash": match[1]})
    except MlflowDvcError:
        pass
    return run


def guarded(folder: Path) -> dict[str, bytes]:
    """All that no restore may change: what is outside the project, and Git's and DVC's own."""
    return {
        name: data
        for name, data in everything(folder).items()
        if not name.startswith("project/")
        or name.startswith("project/.git/")
        or (name.startswith("project/.dvc/") and not name.startswith("project/.dvc/cache/"))
    }


@pytest.mark.slow
@settings(
    max_examples=bounded(40, 2000),
    deadline=30_000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(run_tags=tags(), options=options)
def test_any_tags(
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_tags: dict[str, str],
    options: dict[str, Any],
) -> None:
    folder = tmp_path / "case"
    project = folder / "project"
    if not folder.exists():
        shutil.copytree(template, folder, symlinks=True)
    monkeypatch.chdir(project)
    run = seal(run_tags, project)
    before, data_before = guarded(template), snapshot(template / "project")
    try:
        result = restore(run, **options)
    except MlflowDvcError as err:
        assert str(err).isprintable(), str(err)  # noqa: PT017
        assert snapshot(project) == data_before
        assert not (folder / "out").exists()
        assert guarded(folder) == before
        return
    shutil.rmtree(folder / "out", ignore_errors=True)
    assert guarded(folder) == before
    if options["dry_run"] or options["out"]:
        assert snapshot(project) == data_before
    elif result.undo:
        undo()
        assert snapshot(project) == data_before
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(folder)  # each example starts from the same project
