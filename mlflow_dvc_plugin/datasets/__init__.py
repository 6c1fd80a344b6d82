"""DVC-tracked data as MLflow datasets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_dvc_plugin.datasets.source import DvcDatasetSource

__all__ = ["DvcDatasetSource"]


def __getattr__(name: str) -> Any:
    """``DvcDatasetSource``, which MLflow gets while it is imported itself."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mlflow_dvc_plugin.datasets import source

    return getattr(source, name)


# The modules in here import parts of MLflow. MLflow must not start to import them again, to
# get the class above, while the first of them is still being imported.
import mlflow.data  # noqa: E402, F401
