"""Which metafiles are read: the same as DVC reads."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.errors import CaptureError
from tests.capturing.oracle import UNJUDGED, assert_same_outs, dvc_outs, our_outs
from tests.effort import bounded
from tests.project import Project

OUT = "outs:\n- md5: 0123456789abcdef0123456789abcdef\n  hash: md5\n  path: {}\n"


def tree(project: Project, *names: str) -> None:
    """A .dvc file at each name; each tracks an out beside it."""
    for name in names:
        project.write(f"{name}.dvc", OUT.format(os.path.basename(name) + ".out"))


def seen(project: Project) -> set[str]:
    assert_same_outs(project.path, at_least=0)
    return {row[0].removesuffix(".out") for row in our_outs(project.path)}


def test_dvcignore(project: Project) -> None:
    tree(project, "a", "b/a", "b/c/a", "keep/a", "skip/a", "b/skip/a")
    project.write(".dvcignore", "# comment\n\n/skip\nb/c/\n")
    assert seen(project) == {"a", "b/a", "keep/a", "b/skip/a"}
    project.write("b/.dvcignore", "skip\n")
    assert seen(project) == {"a", "b/a", "keep/a"}
    project.write("keep/.dvcignore", "*.dvc\n!a.dvc\n")
    assert seen(project) == {"a", "b/a", "keep/a"}


def test_gitignore(project: Project) -> None:
    tree(project, "a", "b/a", "b/c/a", "venv/lib/a", "build/a", "b/secret")
    project.write(".gitignore", "/venv\nbuild/\nsecret.dvc\n")
    assert seen(project) == {"a", "b/a", "b/c/a"}
    project.write("b/.gitignore", "/c\n!secret.dvc\n")
    assert seen(project) == {"a", "b/a", "b/secret"}


def test_gitignore_without_regard_to_case(project: Project) -> None:
    tree(project, "a", "b", "xB", "c/a", "d/sub/a")
    project.write(".gitignore", "*B.DVC\nC/\n/D/S?B\n")
    assert seen(project) == {"a", "b", "xB", "c/a", "d/sub/a"}
    project.git("config", "core.ignoreCase", "true")
    assert seen(project) == {"a"}


def test_users_and_repositorys_exclude_files(project: Project) -> None:
    tree(project, "a", "b", "c", "d/a")
    excludes = Path(os.environ["HOME"], "excluded")
    excludes.write_text("b.dvc\n")
    Path(os.environ["HOME"], ".gitconfig").write_text(f"[core]\n\texcludesFile = {excludes}\n")
    (project.path / ".git" / "info").mkdir(exist_ok=True)
    project.write(".git/info/exclude", "c.dvc\n")
    assert seen(project) == {"a", "d/a"}


def test_contents_patterns_hide_a_folder_as_they_do_from_dvc(project: Project) -> None:
    tree(project, "data/a", "data/sub/a", "other/a")
    project.write(".gitignore", "/data/*\n!/data/*.dvc\n")
    assert "other/a" in seen(project)


def test_ignored_lock_beside_a_pipeline_is_refused_as_by_dvc(project: Project) -> None:
    project.write("dvc.yaml", "stages:\n  a: {cmd: x, outs: [a]}\n")
    project.write("dvc.lock", "schema: '2.0'\n")
    project.write(".gitignore", "dvc.lock\n")
    with pytest.raises(Exception, match="git-ignored"):
        dvc_outs(project.path)
    with pytest.raises(CaptureError, match=r"dvc\.lock"):
        capture(project.path, UNJUDGED)


def test_lock_in_dvcignore_counts_as_absent(project: Project) -> None:
    project.write("dvc.yaml", "stages:\n  a: {cmd: x, outs: [a]}\n")
    project.write("dvc.lock", "broken: [")
    project.write(".dvcignore", "dvc.lock\n")
    assert seen(project) == {"a"}
    state = capture(project.path, UNJUDGED)
    assert state is not None
    assert state.lock_hash is None


def test_out_in_dvcignore_is_refused_as_by_dvc(project: Project) -> None:
    tree(project, "sub/a")
    project.write(".dvcignore", "*.out\n")
    with pytest.raises(Exception, match="ignored"):
        dvc_outs(project.path)
    with pytest.raises(CaptureError, match=r"sub/a\.dvc"):
        capture(project.path, UNJUDGED)


def test_folders_that_are_outs_are_not_entered(project: Project) -> None:
    project.write("data.dvc", OUT.format("data"))
    tree(project, "data/inside", "beside/a")
    assert seen(project) == {"data", "beside/a"}


def test_links(project: Project) -> None:
    tree(project, "real/a", "real/b")
    os.symlink("real", project.path / "linked")
    os.symlink("a.dvc", project.path / "real" / "c.dvc")
    os.symlink("..", project.path / "real" / "loop")
    assert seen(project) == {"real/a", "real/b"}
    assert len(our_outs(project.path)) == 3


def test_projects_inside_a_project_are_apart(project: Project) -> None:
    tree(project, "a", "inner/a", "inner/deep/a")
    (project.path / "inner" / ".dvc").mkdir()
    assert seen(project) == {"a"}


def test_project_below_the_git_root(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "git", subdir="ml/project")
    tree(project, "a", "skipped/a")
    (tmp_path / "git" / ".gitignore").write_text("skipped\n")
    assert seen(project) == {"a"}
    state = capture(project.path, UNJUDGED)
    assert state is not None
    assert state.root == "ml/project"


def test_project_that_git_ignores(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "git", subdir="ml/project")
    tree(project, "a")
    (tmp_path / "git" / ".gitignore").write_text("/ml/*\n")
    assert seen(project) == set()


def test_project_without_git(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", git=False)
    tree(project, "a", "b")
    project.write(".gitignore", "b.dvc\n")
    assert seen(project) == {"a", "b"}
    state = capture(project.path, UNJUDGED)
    assert state is not None
    assert (state.root, state.git_commit) == (".", None)


@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling", "unreadable", "lock folder"])
def test_odd_files(project: Project, kind: str) -> None:
    tree(project, "good")
    path = project.path / "odd.dvc"
    where = "odd.dvc"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        assert seen(project) == {"good"}
        return
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "unreadable":
        path.write_text("")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("nothing is unreadable for this user")
    else:
        project.write("dvc.yaml", "stages:\n  a: {cmd: x, outs: [a]}\n")
        (project.path / "dvc.lock").mkdir()
        where = "dvc.lock"
    with pytest.raises(Exception):  # noqa: B017, PT011 - DVC raises all kinds
        dvc_outs(project.path)
    with pytest.raises(CaptureError) as caught:
        capture(project.path, UNJUDGED)
    assert caught.value.where == where


@pytest.mark.parametrize("ignore_file", [".gitignore", ".dvcignore"])
@pytest.mark.parametrize("pattern", ["**", "/**", "**/", "**/*", "*", "**\n!**", "**\n!*"])
def test_own_patterns_of_a_folder_can_hide_all_of_it(
    project: Project, ignore_file: str, pattern: str
) -> None:
    for name in ("sub/a", "sub/deep/b", "other/c"):
        project.write(f"{name}.dvc", OUT.format(f"/srv/{name.replace('/', '-')}"))
    project.write(f"sub/{ignore_file}", f"{pattern}\n!a.dvc\n!deep/\n")
    assert_same_outs(project.path, at_least=1)


NAMES = ("a", "b", "data", "x y", "é", "a.b", "[z]", "build", "B", "Data", "É")
PATTERNS = (
    "{n}", "/{n}", "{n}/", "/{n}/", "{n}/*", "/{n}/**", "**/{n}", "**/{n}/{m}", "{n}/**/{m}", "*",
    "*.dvc", "!*.dvc", "!{n}", "!/{n}/", "!{n}/", "{n}.dvc", "!{n}.dvc", "/{n}/{m}.dvc", "?",
    "[ab]", "[!a]", "[^a]/", "{n}*", "*{n}*/", "*{n}.dvc", "*{n}/", "!*{n}", "\\!{n}", "#{n}",
    "  {n}  ", "{n}\\ ", "/*", "!/*/", "/*/*", "**", "/**", "{n}/{m}/", "!{n}/{m}", "*.[d]vc",
    "a\\b", "[a", "[[:alpha:]]", "{n}/*/",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ignore_file", [".gitignore", ".dvcignore"])
def test_random_ignore_files_mean_what_they_mean_to_dvc(project: Project, ignore_file: str) -> None:
    choose = random.Random(7)
    compared = 0
    cases = bounded(50, 500)
    for case in range(cases):
        for item in project.path.iterdir():
            if item.is_dir() and item.name not in (".git", ".dvc"):
                shutil.rmtree(item)
            elif item.is_file() and item.name != ".git":
                item.unlink()
        project.git("config", "core.ignoreCase", choose.choice(("true", "false")))
        folders = [""]
        for _ in range(8):
            folders.append(f"{choose.choice(folders)}{choose.choice(NAMES)}/")
        for folder in folders:
            for name in choose.sample(NAMES, 2):
                # An out outside, since DVC refuses one that .dvcignore names.
                project.write(f"{folder}{name}.dvc", OUT.format(f"'/srv/{name}'"))
        rules = []
        for folder in choose.sample(folders, 2):
            lines = [
                choose.choice(PATTERNS).format(n=choose.choice(NAMES), m=choose.choice(NAMES))
                for _ in range(choose.randint(1, 5))
            ]
            rules.append((folder, lines))
            project.write(folder + ignore_file, "\n".join(lines) + "\n")
        try:
            expected = dvc_outs(project.path)
        except Exception:  # noqa: BLE001 - an ignored out, or a pattern that DVC cannot read
            with pytest.raises(CaptureError):
                capture(project.path, UNJUDGED)
            continue
        assert our_outs(project.path) == expected, (case, rules)
        compared += 1
    assert compared > cases / 2
