"""Does the workspace hold what the metafiles say."""

from __future__ import annotations

import os
import stat
import time
from hashlib import md5

from mlflow_dvc_plugin.capture import config as dvc_config
from mlflow_dvc_plugin.state import Entry, Status


def judge(
    project: str, entries: list[Entry], config: dvc_config.Config, budget_ms: int
) -> tuple[Status, tuple[str, ...]]:
    if not budget_ms:
        return "unverified", ()
    deadline = time.monotonic() + budget_ms / 1000
    modified, missing, open_ = [], False, False
    for e in entries:
        if not e.hash or os.path.isabs(e.path) or ":" in e.path:
            continue
        path = os.path.join(project, e.path)
        try:
            st = os.stat(path)
        except OSError:
            missing = True
            continue
        if stat.S_ISDIR(st.st_mode) != e.isdir:
            modified.append(e.path)
        elif e.isdir:
            open_ = True
        elif e.size is not None and e.size != st.st_size and e.hash_name == "md5":
            modified.append(e.path)
        elif e.hash_name != "md5" or time.monotonic() > deadline:
            open_ = True
        else:
            with open(path, "rb") as f:
                if md5(f.read()).hexdigest() != e.hash:
                    modified.append(e.path)
    if modified:
        return "modified", tuple(modified)
    return ("missing" if missing else "unverified" if open_ else "clean"), ()
