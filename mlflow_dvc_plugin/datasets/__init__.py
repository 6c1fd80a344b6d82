"""DVC-tracked data as MLflow datasets."""

from mlflow_dvc_plugin.datasets.source import DvcDatasetSource

__all__ = ["DvcDatasetSource"]
