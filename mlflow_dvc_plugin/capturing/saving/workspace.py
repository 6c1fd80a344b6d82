"""Save what the workspace really holds, and describe a state by that."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from mlflow_dvc_plugin.capturing.dvc_config import Config
from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.saving.out_saver import Mode, Outcome, OutSaver
from mlflow_dvc_plugin.capturing.workspace.checks import HASH_NAMES
from mlflow_dvc_plugin.capturing.workspace.expected_outs import ExpectedOuts
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts, judge_status
from mlflow_dvc_plugin.errors import join_some
from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.settings import Settings, is_first_process
from mlflow_dvc_plugin.state import Entry, Status
from mlflow_dvc_plugin.state.entry import sort_key
from mlflow_dvc_plugin.system_calls import try_lock

# Which status all outs have together: the first that one of them has.
_STATUSES: tuple[Status, ...] = ("modified", "missing", "unverified", "saved", "clean")
_NO_LIMIT_MS = 10**9
_SHOWN = 3

_logger = logging.getLogger("mlflow_dvc_plugin")
_warned: set[str] = set()


class SavedWorkspace(NamedTuple):
    """What the outs of a state really are.

    Attributes:
        entries: the outs; what differs and is saved has the hash of what is there now.
        status: of all outs together.
        modified: the paths that differ: those that are not saved if there are any, else the
            saved ones.
        new: what was saved just now, or would be: number of files and bytes by path.
        unsaved: the paths that are not saved, and why.
    """

    entries: tuple[Entry, ...]
    status: Status
    modified: tuple[str, ...]
    new: dict[str, tuple[int, int]]
    unsaved: dict[str, str]


def save_workspace(
    project: str,
    config: Config,
    outs: Sequence[Out],
    settings: Settings,
    *,
    in_stage: bool,
    look: bool = False,
) -> SavedWorkspace:
    """Save each out whose content differs from its metafile, in a stage only its data inputs.

    Outs without a metafile are what DVC does not track, and are saved as well.

    With `look`, save nothing, and find out what would be saved. The log tells what cannot
    be saved, and why.
    """
    forget_folder_verdicts()  # they may stand for some seconds after a change
    chosen = [out for out in outs if out.entry.input or not in_stage]
    others = [out for out in outs if in_stage and not out.entry.input]
    with (
        _choose_mode(project, look) as mode,
        closing(OutSaver(project, config, mode, settings.save_max)) as saver,
    ):
        outcomes = _save_outs(saver, chosen)
    pairs = list(zip(chosen, outcomes, strict=True))
    status, modified = _judge_others(project, config, others, settings)
    unsaved = {e.entry.path: e.reason for e in outcomes if e.status == "modified"}
    if unsaved and not look and is_first_process():
        _warn(unsaved)
    found = {status, *(each.status for each in outcomes)}
    status = next(each for each in _STATUSES if each in found)
    saved = [out.entry.path for out, each in pairs if each.status == "saved" and out.entry.metafile]
    kept = [out.entry for out in others] + [
        _to_entry(out.entry, each.entry)
        for out, each in pairs
        if each.entry.hash or out.entry.metafile
    ]
    return SavedWorkspace(
        entries=tuple(sorted(kept, key=sort_key)),
        status=status,
        modified=tuple(sorted([*unsaved, *modified] if status == "modified" else saved)),
        new={e.entry.path: (e.files, e.size) for e in outcomes if e.status == "saved" and e.files},
        unsaved=unsaved,
    )


def _judge_others(
    project: str, config: Config, outs: Sequence[Out], settings: Settings
) -> tuple[Status, tuple[str, ...]]:
    """Judge outs that are not saved, as without the setting."""
    if not outs:
        return "clean", ()
    return judge_status(project, ExpectedOuts(outs), config, settings.status_budget_ms)


def _save_outs(saver: OutSaver, outs: Sequence[Out]) -> list[Outcome]:
    """Save outs, and return what each really is."""
    expected = ExpectedOuts(outs)
    absent = set(map(id, expected.outs))
    absent -= {id(expected.outs[n]) for n in expected.find_candidates(lambda: False)}
    outcomes: list[Outcome | None] = []
    files: dict[str, tuple[Out, os.stat_result]] = {}
    for out in outs:
        info = None if id(out) in absent else _stat(out)
        outcome = _judge_place(saver, out, info)
        if outcome is None and info is not None and stat.S_ISREG(info.st_mode):
            files[out.entry.path] = out, info
        elif outcome is None:
            outcome = saver.save_folder(out)
        outcomes.append(outcome)
    saved = saver.save_files(files)
    return [each or saved[out.entry.path] for each, out in zip(outcomes, outs, strict=True)]


def _stat(out: Out) -> os.stat_result | None:
    try:
        return os.stat(out.path) if out.local else None
    except (OSError, ValueError):
        return None


def _judge_place(saver: OutSaver, out: Out, info: os.stat_result | None) -> Outcome | None:
    """What is known of an out without looking into it; None if it can be saved."""
    entry = out.entry
    if not entry.hash and (info is None or not entry.cached):
        return Outcome(entry)  # it was not made yet
    if not out.local or (entry.hash and entry.hash_name not in HASH_NAMES):
        return Outcome(entry, "unverified")
    if info is None:
        return Outcome(entry, "missing")
    is_folder = stat.S_ISDIR(info.st_mode)
    reason = ""
    if not is_folder and not stat.S_ISREG(info.st_mode):
        reason = "it is not a file"
    elif is_folder and not entry.cached:
        reason = "it is a folder that DVC leaves to Git"
    elif entry.hash_name == "md5":
        return None
    # DVC 2 hashed other bytes than a file's. As DVC 3 does, change the hash only with the data.
    status, _ = judge_status(saver.project, ExpectedOuts([out]), saver.config, _NO_LIMIT_MS)
    if status == "modified":
        return Outcome(entry, "modified", reason=reason) if reason else None
    return Outcome(entry, status)


def _to_entry(old: Entry, new: Entry) -> Entry:
    """The entry of a saved out.

    Where a metafile cannot say the new hash, because it names a source or its stage never
    ran, the data stands without a metafile.
    """
    if new.hash == old.hash or not old.cached or (old.kind == "plain" and old.hash):
        return new
    return new._replace(metafile="", stage=None, kind="plain", remote=None)


@contextmanager
def _choose_mode(project: str, look: bool) -> Iterator[Mode]:
    """Choose how to save; while one process saves, others read before they save."""
    if look or not is_first_process():
        yield "look" if look else "check"
        return
    folder = os.path.join(project, ".dvc", "tmp", "mlflow-dvc")
    try:
        os.makedirs(folder, exist_ok=True)
        lock = os.open(os.path.join(folder, "saving.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a project that cannot be written to
        yield "save"
        return
    try:
        yield "share" if try_lock(lock) is False else "save"
    finally:
        os.close(lock)


def _warn(unsaved: dict[str, str]) -> None:
    """Log one warning about all that is not saved, once in a process."""
    reasons = [f"{path}: {reason}" for path, reason in sorted(unsaved.items())]
    text = f"MLFLOW_DVC_SAVE did not save {join_some(reasons, _SHOWN, '; ')}."
    if text not in _warned:
        _warned.add(text)
        _logger.warning("%s", text)
