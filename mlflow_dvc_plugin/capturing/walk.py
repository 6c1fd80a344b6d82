"""The metafiles that DVC reads, as ``dvc.repo.index.collect_files`` finds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.capturing.ignore import git_rules
from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore
from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.named_tuple import NamedTuple

# A folder in the project, the names of the `.dvc` and `dvc.yaml` files in it that DVC reads,
# and whether DVC sees a `dvc.lock`.
MetafileFolder = tuple[str, list[str], bool]


class _Folder(NamedTuple):
    """A folder (path relative to the project), and the ignore rules that apply in it."""

    path: str
    prefix: str | None  # the project's path in Git, "" or ending in "/"; None without Git
    dvc: DvcIgnore
    git: git_rules.GitRules
    fold_case: bool  # Git ignores case, as it does on macOS and Windows

    def join(self, name: str) -> str:
        """The path of an entry, relative to the project."""
        return f"{self.path}/{name}" if self.path else name

    def is_dvcignored(self, name: str, is_dir: bool) -> bool:
        return self.dvc.ignores(self.join(name), name, is_dir)

    def is_git_ignored(self, name: str, is_dir: bool) -> bool:
        if self.prefix is None or not self.git:
            return False
        return git_rules.is_git_ignored(self.git, self.prefix + self.join(name), name, is_dir)


def walk_project(
    project: str,
    git: tuple[str, str] | None,
    outs: set[str],
    dvcignores: dict[str, DvcIgnore],
    watch: Watch,
) -> Iterator[MetafileFolder]:
    """Walk the folders of a project that have metafiles, in the order in which DVC reads them.

    DVC does not look into outs, so the caller adds the absolute paths of a folder's outs
    to `outs` before it continues. `dvcignores` receives the patterns of each folder with
    a ``.dvcignore``. `git` is None if DVC does not use Git.
    """
    prefix, rules, fold_case = git_rules.read_rules_above(project, git, watch.add_file)
    if rules is None:
        return  # Git ignores the whole project, and so does DVC
    stack = [_Folder("", prefix if git else None, DvcIgnore(), rules, fold_case)]
    while stack:
        folder = stack.pop()
        full = os.path.join(project, folder.path) if folder.path else project
        listing = watch.list_folder(full)
        # DVC also skips a folder that it cannot list, and one that is a project of its own.
        if listing is None or (folder.path and any(".dvc" in names for names in listing)):
            continue
        folders, files = listing
        folder = _add_rules(folder, project, files, dvcignores, watch)
        if git_rules.ignores_own_folder(folder.git):
            continue
        yield from _find_metafiles(folder, folders, files)
        # The last one first, because the stack returns the newest entry.
        for name, is_link in reversed(folders.items()):
            if is_link or f"{full}{os.sep}{name}" in outs or folder.is_dvcignored(name, True):
                continue
            if not folder.is_git_ignored(name, True):
                stack.append(folder._replace(path=folder.join(name)))


def _add_rules(
    folder: _Folder,
    project: str,
    files: list[str],
    dvcignores: dict[str, DvcIgnore],
    watch: Watch,
) -> _Folder:
    """Add the rules of the ignore files in a folder."""
    full = os.path.join(project, folder.path)
    if ".dvcignore" in files and not folder.is_dvcignored(".dvcignore", False):
        watch.add_file(os.path.join(full, ".dvcignore"))
        dvcignores[folder.path] = folder.dvc.add_file(project, folder.path)
        folder = folder._replace(dvc=dvcignores[folder.path])
    if ".gitignore" in files and folder.prefix is not None:
        base, path = folder.prefix + folder.join(""), os.path.join(full, ".gitignore")
        added = git_rules.read_gitignore(base, path, watch.add_file, fold_case=folder.fold_case)
        folder = folder._replace(git=folder.git + added)
    return folder


def _find_metafiles(
    folder: _Folder, folders: Iterable[str], files: list[str]
) -> Iterator[MetafileFolder]:
    """The folder, if it has metafiles that DVC sees."""
    metafiles = [
        name
        for name in files
        if (name.endswith(".dvc") or name == "dvc.yaml")
        and not folder.is_dvcignored(name, False)
        and not folder.is_git_ignored(name, False)
    ]
    has_lock = "dvc.lock" in files and not folder.is_dvcignored("dvc.lock", False)
    if "dvc.yaml" in metafiles and "dvc.lock" in folders:
        raise CaptureError(folder.join("dvc.lock"), "this is not a regular file")
    if has_lock and folder.is_git_ignored("dvc.lock", False):
        if "dvc.yaml" in metafiles:
            raise CaptureError(
                folder.join("dvc.lock"),
                "DVC refuses a lock file that Git ignores; remove its pattern from .gitignore",
            )
        has_lock = False
    if metafiles or has_lock:
        yield folder.path, metafiles, has_lock
