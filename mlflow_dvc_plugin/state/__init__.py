"""The data state: its values, fingerprint, tags, manifest and file form.

Nothing here reads or writes files, except for reading a state file.
"""

from mlflow_dvc_plugin.state.data_state import DataState, Source, Status
from mlflow_dvc_plugin.state.entry import Entry, Kind, fingerprint

__all__ = ["DataState", "Entry", "Kind", "Source", "Status", "fingerprint"]
