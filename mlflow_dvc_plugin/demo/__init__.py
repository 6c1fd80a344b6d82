"""The demo: an example project whose data is deleted and restored.

``project/`` is the example, complete and worth copying. ``run_demo`` copies it to a
folder and runs the commands there that a user would type.
"""

from mlflow_dvc_plugin.demo.scenario import run_demo
from mlflow_dvc_plugin.demo.shell import DemoError

__all__ = ["DemoError", "run_demo"]
