"""Commands that set up mlflow-dvc itself."""
