"""Which metafiles DVC reads, as ``dvc.repo.index.collect_files`` finds them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import files
from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore
from mlflow_dvc_plugin.capturing.ignore.gitignore import GitIgnore
from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.errors import CaptureError

_CORE_SETTING = re.compile(r"\s*(excludesfile|ignorecase)\s*=\s*(.*?)\s*$", re.IGNORECASE)
_IGNORE_FILE_BYTES = 1 << 24

# `.gitignore` files that hold in a folder, each with its own folder's path
# relative to the Git work tree ("" or ending in "/"), the deepest last.
_GitRules = tuple[tuple[str, GitIgnore], ...]


class Folder(NamedTuple):
    """A folder that DVC walks through.

    Attributes:
        path: relative to the project, "" for the project itself.
        metafiles: names of the ``.dvc`` and ``dvc.yaml`` files that DVC reads.
        lock: DVC sees a ``dvc.lock`` here.
    """

    path: str
    metafiles: tuple[str, ...]
    lock: bool


class _Rules(NamedTuple):
    """What is left out of one folder.

    Attributes:
        path: of the folder, relative to the project, "" for the project itself.
        prefix: the project's path in the Git work tree, "" or ending in "/".
        dvc: the ``.dvcignore`` patterns that hold here.
        git: the Git rules that hold here.
    """

    path: str
    prefix: str
    dvc: DvcIgnore
    git: _GitRules

    def inside(self, name: str) -> str:
        """The path of an entry, relative to the project."""
        return f"{self.path}/{name}" if self.path else name

    def dvc_ignores(self, name: str, is_dir: bool) -> bool:
        return self.dvc.ignores(self.inside(name), name, is_dir)

    def git_ignores(self, name: str, is_dir: bool) -> bool:
        if not self.git:
            return False
        return _git_ignores(self.git, self.prefix + self.inside(name), name, is_dir)


def walk(
    project: str,
    git: tuple[str, str] | None,
    outs: set[str],
    dvcignores: dict[str, DvcIgnore],
    watch: Watch,
) -> Iterator[Folder]:
    """The folders of a project that hold metafiles, in the order in which DVC reads them.

    Args:
        project: absolute path of the project.
        git: its Git work tree and ``.git`` directory; None if DVC uses none.
        outs: absolute paths of the outs found so far. DVC does not look inside
            one, so the caller adds those of a folder before it goes on.
        dvcignores: filled with the patterns of each folder that has a
            ``.dvcignore`` of its own, by path relative to the project.
        watch: gets all that is looked at.

    Raises:
        CaptureError: DVC refuses what is here.
    """
    prefix, start = _git_start(project, git, watch)
    if start is None:
        return  # Git ignores the whole project, hence so does DVC
    stack = [_Rules("", prefix, DvcIgnore(), start)]
    while stack:
        rules = stack.pop()
        full = os.path.join(project, rules.path) if rules.path else project
        listing = watch.listing(full)
        if listing is None:
            continue  # DVC, too, passes over a folder that it cannot list
        folders, others = listing
        if rules.path and (".dvc" in folders or ".dvc" in others):
            continue  # a project of its own
        if ".dvcignore" in others and not rules.dvc_ignores(".dvcignore", False):
            watch.file(f"{full}/.dvcignore")
            data = files.read(f"{full}/.dvcignore", rules.inside(".dvcignore"))
            dvcignores[rules.path] = rules.dvc.within(rules.path, data)
            rules = rules._replace(dvc=dvcignores[rules.path])
        if ".gitignore" in others and git:
            base = prefix + rules.inside("")
            rules = rules._replace(git=rules.git + _git_rules(base, f"{full}/.gitignore", watch))
        yield from _metafiles(rules, folders, others)
        # The last one first, as they are taken from the end.
        for name, is_link in reversed(folders.items()):
            if is_link or f"{full}{os.sep}{name}" in outs or rules.dvc_ignores(name, True):
                continue
            if not rules.git_ignores(name, True):
                stack.append(rules._replace(path=rules.inside(name)))


def _metafiles(rules: _Rules, folders: Iterable[str], others: list[str]) -> Iterator[Folder]:
    """The folder, if there are metafiles in it that DVC sees."""
    found = [
        name
        for name in others
        if (name.endswith(".dvc") or name == "dvc.yaml")
        and not rules.dvc_ignores(name, False)
        and not rules.git_ignores(name, False)
    ]
    lock = "dvc.lock" in others and not rules.dvc_ignores("dvc.lock", False)
    if "dvc.yaml" in found and "dvc.lock" in folders:
        raise CaptureError(rules.inside("dvc.lock"), "is no regular file")
    if lock and rules.git_ignores("dvc.lock", False):
        if "dvc.yaml" in found:
            raise CaptureError(rules.inside("dvc.lock"), "Git ignores it, and DVC refuses that")
        lock = False
    if found or lock:
        yield Folder(rules.path, tuple(found), lock)


def _git_ignores(rules: _GitRules, path: str, name: str, is_dir: bool) -> bool:
    """Does Git ignore `path` (relative to the work tree), as dulwich, DVC's Git, says."""
    if not path.isascii():  # Git matches bytes
        path = os.fsencode(path).decode("latin-1")
        name = path.rpartition("/")[2]
        rules = tuple((os.fsencode(base).decode("latin-1"), rule) for base, rule in rules)
    for base, rule in reversed(rules):
        found = rule.match(path[len(base) :], name, is_dir)
        if found is not None:
            if found:
                return True
            break
    if is_dir:
        # DVC asks about `folder/`, so a pattern on what it holds decides, too.
        for base, rule in reversed(rules):
            found = rule.inside(path[len(base) :])
            if found is not None:
                return found
    return False


def _git_start(
    project: str, git: tuple[str, str] | None, watch: Watch
) -> tuple[str, _GitRules | None]:
    """The project's path in the work tree, and the Git rules that hold for it.

    The rules are None if Git ignores the project itself.
    """
    if git is None:
        return "", ()
    root, git_dir = git
    prefix = os.path.relpath(project, root).replace(os.sep, "/")
    prefix = "" if prefix == "." else f"{prefix}/"
    excludes, fold = _git_settings(git_dir, watch)
    # Later ones win: the user's file is weaker than any, info/exclude weaker still.
    rules: _GitRules = ()
    for path in (os.path.join(git_dir, "info", "exclude"), excludes):
        rules += _git_rules("", path, watch, fold, follow=True)
    base = ""
    for part in prefix.split("/")[:-1]:
        rules += _git_rules(base, os.path.join(root, base, ".gitignore"), watch, fold)
        if _git_ignores(rules, base + part, part, True):
            return prefix, None
        base += f"{part}/"
    return prefix, rules


def _git_rules(
    base: str, path: str, watch: Watch, fold: bool = False, follow: bool = False
) -> _GitRules:
    watch.file(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            rule = GitIgnore(file.read(_IGNORE_FILE_BYTES), fold)
    except OSError:
        return ()
    return () if rule.empty else ((base, rule),)


def _git_settings(git_dir: str, watch: Watch) -> tuple[str, bool]:
    """The user's exclude file, and whether Git ignores case."""
    home = os.path.expanduser("~")
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    found: dict[str, str] = {}
    for path in (
        os.path.join(git_dir, "config"),
        os.path.join(home, ".gitconfig"),
        os.path.join(base, "git", "config"),
        "/etc/gitconfig",
    ):
        watch.file(path)
        for key, value in _core_section(path):
            found.setdefault(key, value)
    excludes = found.get("excludesfile") or os.path.join(base, "git", "ignore")
    return os.path.expanduser(excludes), found.get("ignorecase", "").lower() == "true"


def _core_section(path: str) -> Iterator[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_IGNORE_FILE_BYTES)
    except OSError:
        return
    inside = False
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            inside = line.strip().lower().startswith("[core]")
        elif inside and (match := _CORE_SETTING.match(line)):
            yield match.group(1).lower(), match.group(2).strip('"')
