"""Tags are written by others: none may lead out of the project, to a host or to a command."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlflow_dvc_plugin.errors import MlflowDvcError, RestoreError
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.state import DataState, Entry, fingerprint, manifest
from mlflow_dvc_plugin.state.tags import build_manifest_tags
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project

MD5 = "c4ca4238a0b923820dcc509a6f75849b"  # of "1"


def hostile(*entries: Entry, **tags: str) -> Run:
    """A run whose tags are in themselves sound, and say whatever an attacker likes."""
    state = DataState(root=".", entries=entries)
    return Run("e" * 32, "evil", "0", 0, {**state.to_tags(), **tags})


def everything(folder: Path) -> dict[str, bytes]:
    """All files there, Git's and DVC's own included, but for DVC's scratch files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "tmp" not in path.relative_to(folder).parts
    }


@pytest.fixture
def prey(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with some data; every attempt to open a connection fails the test."""
    project.add("data/a", "1")
    project.commit()

    def refuse(*args: object) -> None:
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return project


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "data/../../outside",
        "~/outside/../../x",
        "data//a",
        "./a",
        "data/./a",
        "",
        ".",
        "..",
        ".git/hooks/post-checkout",
        ".GIT/hooks/post-checkout",
        ".g\u200cit/config",
        "sub/.git/config",
        "git~1/config",
        ".dvc/config",
        ".Dvc/config.local",
        ".dvc",
        "\uff0egit/config",
        "a\0b",
        "a\nb",
        "a\x1b[2Jb",
        "x/" * 1500 + "y",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(prey: Project, path: str) -> None:
    before = everything(prey.path)
    for out in (None, prey.path.parent / "out" / "deep" / "er"):
        with pytest.raises(MlflowDvcError) as err:
            restore(hostile(Entry(path, "md5", MD5, metafile=f"{path}.dvc")), out=out)
        assert "\n" not in str(err.value)
        assert "\x1b" not in str(err.value)
    assert everything(prey.path) == before
    assert not (prey.path.parent / "outside").exists()


@pytest.mark.parametrize("path", ["/tmp/outside", "s3://evil.example/x", "file:///tmp/outside"])
def test_a_place_outside_the_project_is_named_and_nothing_is_restored(
    prey: Project, path: str
) -> None:
    before = everything(prey.path)
    with pytest.raises(RestoreError, match=f"Nothing was restored .*{path}: it is outside"):
        restore(hostile(Entry(path, "md5", MD5, metafile="x.dvc")))
    assert everything(prey.path) == before


@pytest.mark.parametrize(
    "metafile", ["../x.dvc", "/tmp/x.dvc", ".git/hooks/pre-commit", ".dvc/config", "data/a", "x.py"]
)
def test_a_metafile_that_leads_elsewhere_is_never_written(prey: Project, metafile: str) -> None:
    before = everything(prey.path)
    run = hostile(Entry("data/new", "md5", MD5, metafile=metafile))
    doc = manifest.Manifest(
        (Entry("data/new", "md5", MD5, metafile=metafile),),
        metafiles={metafile: f"outs:\n- md5: {MD5}\n  hash: md5\n  path: new\n".encode()},
    )
    run = Run(run.run_id, "", "0", 0, {**run.tags, "dvc.manifest": manifest.dump(doc)[0]})
    try:
        restore(run)
    except MlflowDvcError:
        assert everything(prey.path) == before
    else:
        after = everything(prey.path)
        changed = {name for name in after if after[name] != before.get(name)}
        assert changed <= {"data/new", "data/new.dvc", "data/.gitignore"}


@pytest.mark.parametrize("where", ["data", "data/sub"])
def test_a_symbolic_link_in_the_way_is_not_followed(
    prey: Project, tmp_path: Path, where: str
) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    link = prey.path / "linked" / where
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(MlflowDvcError, match="symbolic link"):
        restore(hostile(Entry(f"linked/{where}/a", "md5", MD5)))
    assert list(outside.iterdir()) == []


def test_a_link_at_the_very_path_is_replaced_and_not_written_through(
    prey: Project, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_text("1")
    (prey.path / "link").symlink_to(target)
    prey.write("new", "2")
    prey.add("new")
    value = "c81e728d9d4c2f636f067f89cc14862c"
    restore(hostile(Entry("link", "md5", value)))
    assert target.read_text() == "1"
    assert (prey.path / "link").read_text() == "2"


@pytest.mark.parametrize(
    "listing",
    [
        '[{"md5": "%s", "relpath": "../../x"}]',
        '[{"md5": "%s", "relpath": "/etc/x"}]',
        '[{"md5": "%s", "relpath": ".git/hooks/x"}]',
        '[{"md5": "%s", "relpath": "a/../../b"}]',
        '[{"md5": "%s", "relpath": "a\\u0000b"}]',
        '[{"md5": "../../../etc/passwd", "relpath": "a"}]',
        '[{"md5": "%s"}]',
        '{"md5": "%s"}',
        '[{"md5": "%s", "relpath": 5}]',
        '[{"md5": 5, "relpath": "a"}]',
        '["%s"]',
        "not json",
        "\xff",
    ],
)
def test_a_hostile_folder_listing_is_refused(prey: Project, listing: str) -> None:
    import hashlib

    text = listing % MD5 if "%s" in listing else listing
    data = text.encode("latin-1")
    value = hashlib.md5(data).hexdigest()
    target = prey.path / ".dvc/cache/files/md5" / value[:2] / f"{value[2:]}.dir"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(0o444)
    before = everything(prey.path)
    with pytest.raises(MlflowDvcError) as err:
        restore(hostile(Entry("folder", "md5", f"{value}.dir", isdir=True)))
    assert "\n" not in str(err.value)
    assert everything(prey.path) == before


@pytest.mark.parametrize(
    "value", ["../../../../etc/passwd", "/etc/passwd", "..", "", "a", "x" * 5000, "ab\0cd", "-rf"]
)
def test_a_hash_that_is_none_never_becomes_a_path(prey: Project, value: str) -> None:
    before = everything(prey.path)
    run = hostile(Entry("data/new", "md5", value))
    try:
        restore(run)
    except MlflowDvcError as err:
        assert "\n" not in str(err)  # noqa: PT017
    assert everything(prey.path) == before


@pytest.mark.parametrize(
    "commit", ["--output=/tmp/x", "-h", "HEAD", "main", "HEAD^{/x}", "a" * 39, "$(touch x)", ""]
)
def test_a_revision_never_becomes_an_option(prey: Project, commit: str) -> None:
    state = DataState(root=".", entries=(Entry("data/a", "md5", MD5),))
    tags = {k: v for k, v in state.to_tags().items() if k != "dvc.manifest"}
    before = everything(prey.path)
    with pytest.raises(MlflowDvcError):
        restore(Run("e" * 32, "", "0", 0, {**tags, "dvc.git_commit": commit}))
    with pytest.raises(MlflowDvcError):
        restore(
            Run("e" * 32, "", "0", 0, {**state.to_tags(), "dvc.git_commit": commit}),
            worktree=prey.path.parent / "tree",
        )
    assert everything(prey.path) == before


def test_a_metafile_in_a_tag_cannot_name_a_host_or_a_command(prey: Project) -> None:
    entry = Entry("data/a", "md5", "f" * 32, metafile="data/a.dvc", kind="import-url")
    texts = {
        "data/a.dvc": f"deps:\n- path: http://evil.example/a\nouts:\n- md5: {'f' * 32}\n"
        "  hash: md5\n  path: a\n",
        "dvc.yaml": "stages:\n  evil:\n    cmd: touch /tmp/evil\n",
    }
    doc = manifest.Manifest((entry,), metafiles={k: v.encode() for k, v in texts.items()})
    tags = {
        "dvc.schema": "1",
        "dvc.data_hash": fingerprint([entry]),
        "dvc.manifest": manifest.dump(doc)[0],
    }
    before = everything(prey.path)
    with pytest.raises(MlflowDvcError):
        restore(Run("e" * 32, "", "0", 0, tags))
    assert everything(prey.path) == before


ODD_YAML = (
    "outs: " + "[" * 20_000,
    "outs: [2024-99-99]\n",
    "outs: !!int x\n",
    "outs: \udcff\n",
    "outs: &a [*a]\n",
    "5\n",
)
ODD_STAGES = (
    "text",
    "[text]",
    "{outs: 5}",
    "{outs: {model: 1}}",
    "{outs: [model]}",
    "{outs: [[model]]}",
    "{outs: [{path: model}]}",
    "&a {outs: [*a]}",
    f"{{cmd: [{{}}], deps: 5, outs: [{{path: model, md5: {MD5}}}]}}",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data/a.dvc", "dvc.lock"])
def test_a_metafile_in_a_tag_that_makes_no_sense_does_no_harm(prey: Project, name: str) -> None:
    prey.write("model", "2")
    prey.write("dvc.yaml", "stages:\n  make: {cmd: x, outs: [model]}\n")
    with prey.opened() as repo:
        repo.commit(force=True)
    prey.add("data/a", "2")
    before = everything(prey.path)
    path, stage = ("model", "make") if name == "dvc.lock" else ("data/a", None)
    entry = Entry(path, "md5", MD5, stage=stage, metafile=name)
    locks = [f"schema: '2.0'\nstages: {{make: {text}}}\n" for text in ODD_STAGES]
    for text in [*ODD_YAML, *locks]:
        files = {name: text.encode("utf-8", "surrogateescape")}
        parts = manifest.dump(manifest.Manifest((entry,), metafiles=files))
        tags = {**hostile(entry).tags, **build_manifest_tags(parts)}
        try:
            restore(Run("e" * 32, "", "0", 0, tags))
        except RestoreError:
            pass
        else:
            assert (prey.path / path).read_text() == "1"
            undo()
        assert everything(prey.path) == before


def test_a_remote_named_in_a_tag_must_be_configured(prey: Project) -> None:
    for remote in ("http://evil.example/store", "ssh://evil.example/x", "/etc", "nobody", "--x"):
        entry = Entry("data/new", "md5", "f" * 32, remote=remote)
        with pytest.raises(MlflowDvcError) as err:
            restore(hostile(entry))
        assert "\n" not in str(err.value)
    assert not (prey.path / "data/new").exists()


def test_twins_of_one_path_are_refused(prey: Project) -> None:
    before = everything(prey.path)
    for twins in (("data/x", "data/x"), ("data/y", "data/y/z"), ("data/y/z/w", "data/y")):
        with pytest.raises(MlflowDvcError):
            restore(hostile(*(Entry(path, "md5", MD5) for path in twins)))
    assert everything(prey.path) == before


@pytest.mark.slow
def test_a_million_entries_are_read_in_bounds(prey: Project) -> None:
    entries = tuple(Entry(f"d/{number}", "md5", MD5) for number in range(200_000))
    parts = manifest.dump(manifest.Manifest(entries))
    tags = {
        "dvc.schema": "1",
        "dvc.data_hash": fingerprint(entries),
        **{f"dvc.manifest.{n}" if n else "dvc.manifest": part for n, part in enumerate(parts)},
    }
    before = everything(prey.path)
    with pytest.raises(MlflowDvcError):
        restore(Run("e" * 32, "", "0", 0, tags))
    assert everything(prey.path) == before


def test_a_hook_of_the_user_s_git_is_not_run(prey: Project) -> None:
    hook = prey.path / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    marker = prey.path.parent / "ran"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    from tests.record import record

    restore(record(prey.path), worktree=prey.path.parent / "tree")
    assert os.path.exists(prey.path.parent / "tree/data/a")
    assert not marker.exists()
