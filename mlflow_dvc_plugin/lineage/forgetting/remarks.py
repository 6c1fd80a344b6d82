"""What a deletion does not reach, and what cannot be known, a sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.dvc.storage import Place
from mlflow_dvc_plugin.errors import join_some
from mlflow_dvc_plugin.state import Entry

_SHOWN = 3


def explain_folders(counts: Mapping[str, int]) -> list[str]:
    """That the files of folders are objects of their own."""
    return [
        f"{value} is the listing of a folder. The objects of its {count:,} files are not among "
        "these: name their hashes, too, if you want to forget them."
        for value, count in counts.items()
    ]


def explain_outs(outs: Iterable[tuple[str, Entry]]) -> list[str]:
    """Where else the data of outs is, by path of an object in them."""
    git, imported, versioned = set(), set(), set()
    for path, e in outs:
        if not e.cached:
            git.add(path)
        elif e.kind in ("import", "import-url"):
            imported.add(path)
        elif e.kind == "cloud-versioned":
            versioned.add(path)
    return [
        f"{join_some(sorted(paths), _SHOWN)} {text}"
        for paths, text in (
            (git, "is `cache: false`: Git has it, also in its history."),
            (imported, "was imported: its source has it, and `dvc fetch` can bring it back."),
            (
                versioned,
                "is in a cloud-versioned remote, by its path and version: delete it there.",
            ),
        )
        if paths
    ]


def explain_places(dvc: DvcProject, found: Mapping[Place, Sized]) -> list[str]:
    """What cannot be known or done of the places where objects are."""
    remarks = [
        f"The remote {remote} is cloud-versioned: it stores files by path and keeps their "
        "versions. Nothing is deleted there."
        for remote in dvc.storage.remotes
        if dvc.storage.is_versioned(remote)
    ]
    for place, objs in found.items():
        keeps = place.keeps_versions() if objs else False
        if keeps is None:
            remarks.append(
                f"It is not known whether {place.describe()} keeps older versions of what is "
                "deleted. Look for them there."
            )
        elif keeps:
            remarks.append(
                f"The bucket of {place.describe()} keeps older versions of what is deleted: delete "
                "them there."
            )
    remarks.append(
        "It is not known which other projects use this cache or these remotes: they lose the "
        "objects, too. Other clones, their caches, and backups are not reached."
    )
    return remarks
