"""``python -m mlflow_dvc_plugin.cli``, where the script is not on the PATH."""

from mlflow_dvc_plugin.cli import main

main()
