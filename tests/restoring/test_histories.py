"""Random lives of a project, with runs recorded on the way: each comes back, or nothing moves.

What each hash stood for is noted when DVC takes it in; that, a walk over the
workspace and DVC's own `data status` say whether a restore did what it should.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.errors import CaptureError, MlflowDvcError, UnsavedContentError
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tracking import Run
from tests.effort import bounded
from tests.project import Project
from tests.project import run as command
from tests.record import record, snapshot

LIVES = bounded(2, 100)
STEPS = 14

# Bytes of each file of an out, by path in it ("" for a file).
Content = dict[str, bytes]


class Life:
    """A project, and what becomes of it."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.random = random.Random(seed)
        self.contents: dict[str, Content] = {}
        self.runs: list[Run] = []
        self.told: list[str] = []

    def live(self) -> None:
        """One step, as somebody could take it any day."""
        step = self.random.choice(STEPS_TAKEN)
        self.told.append(step.__name__)
        try:
            step(self)
        except DvcException as err:
            self.told.append(f"  refused: {err}")
        self.note()

    def note(self) -> None:
        """What each hash in the metafiles stands for, where the workspace shows it."""
        try:
            state = capture(self.project.path)
        except CaptureError:
            return
        assert state is not None
        status = self.project.data_status().get("uncommitted", {})
        doubtful = [str(path).rstrip("/") for paths in status.values() for path in names(paths)]
        for e in state.entries:
            if e.hash and not any(p == e.path or p.startswith(e.path + "/") for p in doubtful):
                content = content_of(self.project.path / e.path)
                assert self.contents.setdefault(e.hash, content) == content

    def is_right(self, e: Entry, content: Content) -> bool:
        """An out holds what its hash stands for, unless the workspace never showed that."""
        return self.contents.get(str(e.hash), content) == content

    def git(self, *args: str) -> None:
        """A Git command that may refuse."""
        command("git", *args, cwd=self.project.path, check=False)

    def text(self) -> str:
        return f"{self.random.randrange(6)}\n" * self.random.choice((1, 3))

    def outs(self) -> list[str]:
        """The outs of ``.dvc`` files."""
        found = sorted(self.project.path.rglob("*.dvc"))
        paths = [str(p.relative_to(self.project.path))[: -len(".dvc")] for p in found]
        return [path for path in paths if path and not path.startswith(".dvc")]


def names(paths: object) -> list[str]:
    if isinstance(paths, dict):
        return [str(name) for pair in paths.values() for name in pair]
    assert isinstance(paths, list)
    return [str(p["old"] if isinstance(p, dict) else p) for p in paths]


def content_of(path: Path) -> Content:
    found = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    return {"" if p == path else str(p.relative_to(path)): p.read_bytes() for p in found}


def add_a_file(life: Life) -> None:
    name = life.random.choice(("a", "b", "deep/c", "data/x", "data/y"))
    life.project.write(name, life.text())
    if life.random.random() < 0.2:
        (life.project.path / name).chmod(0o755)
    life.project.add(name)


def add_a_folder(life: Life) -> None:
    folder = life.project.path / life.random.choice(("data", "images"))
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(life.random.randrange(1, 5)):
        life.project.write(f"{folder.name}/{life.random.choice('xyz')}{number}", life.text())
    life.project.add(folder.name)


def edit_without_telling_dvc(life: Life) -> None:
    outs = [out for out in life.outs() if (life.project.path / out).exists()]
    if outs:
        out = life.project.path / life.random.choice(outs)
        target = out / "edited" if out.is_dir() else out
        life.project.write(str(target.relative_to(life.project.path)), life.text() + "by hand")


def stop_tracking(life: Life) -> None:
    outs = life.outs()
    if outs:
        with life.project.opened() as repo:
            repo.remove(f"{life.random.choice(outs)}.dvc")


def move(life: Life) -> None:
    outs = life.outs()
    if outs:
        with life.project.opened() as repo:
            old = life.random.choice(outs)
            new = f"moved-{old.replace('/', '-')[-20:]}"
            repo.move(str(life.project.path / old), str(life.project.path / new))


def split_a_folder(life: Life) -> None:
    folders = [out for out in life.outs() if (life.project.path / out).is_dir()]
    if folders:
        folder = life.random.choice(folders)
        with life.project.opened() as repo:
            repo.remove(f"{folder}.dvc")
        for path in sorted((life.project.path / folder).iterdir()):
            if path.is_file() and not path.name.startswith("."):
                life.project.add(str(path.relative_to(life.project.path)))


def run_a_pipeline(life: Life) -> None:
    target = life.random.choice(("made", "made2", "a"))
    if target in life.outs():
        with life.project.opened() as repo:
            repo.remove(f"{target}.dvc")
    cached = life.random.random() < 0.7
    life.project.write("in.txt", life.text())
    life.project.write(
        "dvc.yaml",
        f"stages:\n  {life.random.choice(('make', 'build'))}:\n"
        f"    cmd: mkdir -p folder && cp in.txt {target} && cp in.txt folder/f\n"
        f"    deps: [in.txt]\n    outs:\n    - {target}\n    - folder\n"
        + ("" if cached else "    metrics:\n    - in2.txt:\n        cache: false\n"),
    )
    if not cached:
        life.project.write("in2.txt", life.text())
    with life.project.opened() as repo:
        repo.reproduce()


def run_other_pipelines(life: Life) -> None:
    """Stages with a working directory of their own, and those that stand for several."""
    life.project.write("in.txt", life.text())
    (life.project.path / "sub").mkdir(exist_ok=True)
    made, items, numbers = (
        life.random.choice(c) for c in (("a", "b"), ("x", "x, y"), ("1", "1, 2"))
    )
    life.project.write(
        "dvc.yaml",
        f"stages:\n  inside:\n    wdir: sub\n    cmd: cp ../in.txt {made}\n"
        f"    deps: [../in.txt]\n    outs: [{made}]\n"
        f"  each:\n    foreach: [{items}]\n    do:\n"
        "      cmd: cp in.txt each-${item}\n      deps: [in.txt]\n      outs: ['each-${item}']\n"
        f"  grid:\n    matrix: {{n: [{numbers}]}}\n"
        "    cmd: mkdir -p grid-${item.n} && cp in.txt grid-${item.n}/f\n"
        "    deps: [in.txt]\n    outs: ['grid-${item.n}']\n",
    )
    with life.project.opened() as repo:
        repo.reproduce()


def drop_the_pipeline(life: Life) -> None:
    for name in ("dvc.yaml", "dvc.lock"):
        (life.project.path / name).unlink(missing_ok=True)


def commit(life: Life) -> None:
    life.project.commit()


def amend(life: Life) -> None:
    life.project.git("add", "-A")
    life.project.git("commit", "-q", "--amend", "--allow-empty", "-m", "amended")


def switch_branches(life: Life) -> None:
    life.project.commit()
    name = life.random.choice(("main", "side"))
    there = life.project.git("branch", "--list", name)
    life.git("checkout", "-q", *([] if there else ["-b"]), name)
    if life.random.random() < 0.7:
        with life.project.opened() as repo:
            repo.checkout(force=True)


def stash(life: Life) -> None:
    pop = life.project.git("stash", "list") and life.random.random() < 0.7
    life.git("stash", *(["pop", "-q"] if pop else ["-q", "--include-untracked"]))


def edit_gitignore(life: Life) -> None:
    path = life.project.path / life.random.choice((".gitignore", "deep/.gitignore"))
    if path.parent.is_dir():
        today = path.read_text() if path.exists() else ""
        path.write_text(today + life.random.choice(("# mine\n", "deep/\n", "*.log", "!a\n", "\n")))


def lose_data(life: Life) -> None:
    outs = life.outs()
    if outs:
        path = life.project.path / life.random.choice(outs)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


STEPS_TAKEN: list[Callable[[Life], None]] = [
    *(add_a_file, add_a_file, add_a_folder, edit_without_telling_dvc, stop_tracking, move),
    *(split_a_folder, run_a_pipeline, run_a_pipeline, drop_the_pipeline, commit, commit, amend),
    *(lose_data, run_other_pipelines, run_other_pipelines, switch_branches, stash),
    edit_gitignore,
]


def all_of(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {k: (v, os.access(folder / k, os.X_OK)) for k, v in snapshot(folder).items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(LIVES))
@pytest.mark.parametrize("link", ["copy", "hardlink"])
def test_a_run_comes_back_whatever_became_of_the_project(
    project: Project, tmp_path: Path, link: str, seed: int
) -> None:
    with project.opened() as repo, repo.config.edit() as config:
        config["cache"]["type"] = link
    project.commit()
    life = Life(project, seed)
    for _ in range(STEPS):
        life.live()
        if life.random.random() < 0.5:
            try:
                life.runs.append(record(project.path))
            except CaptureError as err:
                life.told.append(f"  capture refused: {err}")
    for number, run in enumerate(life.runs):
        try:
            comes_back(life, run, tmp_path / f"out-{number}")
        except AssertionError as err:
            raise AssertionError("\n".join([*life.told, f"run {number}", str(err)])) from err
        life.live()
    try:
        some_come_back(life)
    except AssertionError as err:
        raise AssertionError("\n".join([*life.told, str(err)])) from err


def some_come_back(life: Life) -> None:
    """Some outs of several runs, one after the other; and taken back, one or all."""
    folder = life.project.path
    done: list[tuple[str, dict[str, tuple[bytes, bool]]]] = []
    for run in life.random.sample(life.runs, min(3, len(life.runs))):
        entries = load_state(run).entries
        chosen = life.random.sample(entries, min(2, len(entries)))
        before = all_of(folder)
        try:
            result = restore(run, [e.path for e in chosen], force=True)
        except MlflowDvcError as err:
            refused(life, before, err)
            continue
        restored = {*result.added, *result.modified, *result.unchanged}
        for e in chosen:
            assert e.path not in restored or life.is_right(e, content_of(folder / e.path)), e.path
        dvc_agrees(life, restored)
        if result.undo is not None:
            dvc_would_claim(life, restored)
            done.append((result.undo, before))
    after = all_of(folder)
    for number in range(len(done)):
        record, before = life.random.choice(done)
        life.told.append(f"  undo {number}")
        undo(record)
        assert all_of(folder) == before
        undo()
        assert all_of(folder) == after


def comes_back(life: Life, run: Run, out: Path) -> None:
    project = life.project
    before = all_of(project.path)
    entries = {e.path: e for e in load_state(run).entries}
    if not any(e.hash for e in entries.values()):
        with pytest.raises(MlflowDvcError, match="Nothing was restored"):
            restore(run, out=out)
        assert all_of(project.path) == before
        return
    restored = restore(run, out=out)
    for path in (*restored.added, *restored.modified, *restored.unchanged):
        assert life.is_right(entries[path], content_of(out / path)), path
        assert os.access(out / path, os.X_OK) or not entries[path].isexec, path
    assert all_of(project.path) == before
    try:
        done = restore(run)
    except UnsavedContentError:
        assert all_of(project.path) == before
        try:
            done = restore(run, force=True)
        except MlflowDvcError as err:
            refused(life, before, err)
            return
    except MlflowDvcError as err:
        refused(life, before, err)
        return
    for path in (*done.added, *done.modified, *done.unchanged):
        assert life.is_right(entries[path], content_of(project.path / path)), path
        assert os.access(project.path / path, os.X_OK) or not entries[path].isexec, path
    after = all_of(project.path)
    dvc_agrees(life, {*done.added, *done.modified, *done.unchanged})
    if done.undo is not None:
        dvc_would_claim(life, {*done.added, *done.modified, *done.unchanged})
        undo()
        assert all_of(project.path) == before
        undo()
        assert all_of(project.path) == after


def dvc_agrees(life: Life, restored: set[str]) -> None:
    changed = life.project.data_status().get("uncommitted", {})
    wrong = [n for paths in changed.values() for n in names(paths) if n.rstrip("/") in restored]
    assert not wrong


def dvc_would_claim(life: Life, restored: set[str]) -> None:
    """DVC's record of each out is the one that its own checkout would have made."""
    with life.project.opened() as repo:
        for path in restored:
            ours = repo.state.links[path]
            repo.state.save_link(str(life.project.path / path), localfs)
            assert ours == repo.state.links[path], path


def refused(life: Life, before: dict[str, tuple[bytes, bool]], err: MlflowDvcError) -> None:
    life.told.append(f"  restore refused: {err}")
    assert "\n" not in str(err)
    assert all_of(life.project.path) == before
