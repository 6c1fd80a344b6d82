"""Which metafiles DVC reads, as ``dvc.repo.index.collect_files`` finds them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from mlflow_dvc_plugin.capture import files
from mlflow_dvc_plugin.capture.ignore import DvcIgnore, GitIgnore
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


class _Pending(NamedTuple):
    path: str
    dvc: DvcIgnore
    git: _GitRules


def walk(
    project: str, git: tuple[str, str] | None, outs: set[str], dvcignores: dict[str, DvcIgnore]
) -> Iterator[Folder]:
    """The folders of a project that hold metafiles, in the order in which DVC reads them.

    Args:
        project: absolute path of the project.
        git: its Git work tree and ``.git`` directory; None if DVC uses none.
        outs: absolute paths of the outs found so far. DVC does not look inside
            one, so the caller adds those of a folder before it goes on.
        dvcignores: filled with the patterns of each folder that has a
            ``.dvcignore`` of its own, by path relative to the project.

    Raises:
        CaptureError: DVC refuses the ignore files here.
    """
    prefix, rules = _git_start(project, git)
    if rules is None:
        return  # Git ignores the whole project, hence so does DVC
    stack = [_Pending("", DvcIgnore(), rules)]
    while stack:
        path, dvc, rules = stack.pop()
        full = os.path.join(project, path) if path else project
        base = f"{path}/" if path else ""
        try:
            with os.scandir(full) as entries:
                listed = list(entries)
        except OSError:
            continue  # DVC, too, passes over a folder that it cannot list
        names = {item.name for item in listed}
        if path and ".dvc" in names:
            continue  # a project of its own
        if ".dvcignore" in names and not dvc.ignores(f"{base}.dvcignore", ".dvcignore", False):
            data = files.read(os.path.join(full, ".dvcignore"), f"{base}.dvcignore")
            dvc = dvcignores[path] = dvc.within(path, data)
        if ".gitignore" in names and git:
            rules += _git_rules(prefix + base, os.path.join(full, ".gitignore"))
        below, metafiles, lock = [], [], False
        for item in listed:
            name = item.name
            if _is_dir(item):
                if name == "dvc.lock" and "dvc.yaml" in names:
                    raise CaptureError(base + name, "is no regular file")
                if not item.is_symlink():
                    below.append(name)
            elif name.endswith(".dvc") or name in ("dvc.yaml", "dvc.lock"):
                if dvc.ignores(base + name, name, False):
                    continue
                ignored = _git_ignores(rules, prefix + base + name, name, False)
                if name == "dvc.lock":
                    if ignored and "dvc.yaml" in names:
                        raise CaptureError(base + name, "Git ignores it, and DVC refuses that")
                    lock = not ignored
                elif not ignored:
                    metafiles.append(name)
        if metafiles or lock:
            yield Folder(path, tuple(metafiles), lock)
        for name in reversed(below):
            if os.path.join(full, name) in outs or dvc.ignores(base + name, name, True):
                continue
            if not _git_ignores(rules, prefix + base + name, name, True):
                stack.append(_Pending(base + name, dvc, rules))


def _is_dir(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False


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


def _git_start(project: str, git: tuple[str, str] | None) -> tuple[str, _GitRules | None]:
    """The project's path in the work tree, and the Git rules that hold for it.

    The rules are None if Git ignores the project itself.
    """
    if git is None:
        return "", ()
    root, git_dir = git
    prefix = os.path.relpath(project, root).replace(os.sep, "/")
    prefix = "" if prefix == "." else f"{prefix}/"
    excludes, fold = _git_settings(git_dir)
    # Later ones win: the user's file is weaker than any, info/exclude weaker still.
    rules: _GitRules = ()
    for path in (os.path.join(git_dir, "info", "exclude"), excludes):
        rules += _git_rules("", path, fold, follow=True)
    base = ""
    for part in prefix.split("/")[:-1]:
        rules += _git_rules(base, os.path.join(root, base, ".gitignore"), fold)
        if _git_ignores(rules, base + part, part, True):
            return prefix, None
        base += f"{part}/"
    return prefix, rules


def _git_rules(base: str, path: str, fold: bool = False, follow: bool = False) -> _GitRules:
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            rule = GitIgnore(file.read(_IGNORE_FILE_BYTES), fold)
    except OSError:
        return ()
    return () if rule.empty else ((base, rule),)


def _git_settings(git_dir: str) -> tuple[str, bool]:
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
