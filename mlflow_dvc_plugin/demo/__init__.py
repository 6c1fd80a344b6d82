"""The demonstration: an example project, and the play that loses and restores its data.

``project/`` is the example, complete and worth copying. ``play`` builds it in
a folder and runs it with the commands that a user would type.
"""

from mlflow_dvc_plugin.demo.shell import DemoError
from mlflow_dvc_plugin.demo.story import play

__all__ = ["DemoError", "play"]
