"""The door to DVC: an open project's cache, remotes, links, locks and file formats.

Everything that asks DVC goes through here, with plain values on our side, so
that a new DVC release can break this package and nothing else.
"""

from __future__ import annotations

from mlflow_dvc_plugin.dvc.project import DvcProject

__all__ = ["DvcProject"]
