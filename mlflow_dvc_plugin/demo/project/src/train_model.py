"""Train a classifier on the processed data, and log the run to MLflow."""

import json
import pickle
from pathlib import Path

import mlflow
import pandas as pd
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PROCESSED = Path("data/processed")
MODEL = Path("models/model.pkl")
METRICS = Path("metrics.json")


def load(name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the measurements and the diagnoses in one of the processed files."""
    patients = pd.read_csv(PROCESSED / name)
    return patients.drop(columns="diagnosis"), patients["diagnosis"]


def main() -> None:
    """Train, evaluate, save the model and its metrics."""
    params = yaml.safe_load(Path("params.yaml").read_text())["train"]
    mlflow.set_experiment("breast-cancer")

    # Nothing here says which data is used: the plugin tags the run with it.
    with mlflow.start_run():
        mlflow.log_params(params)

        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=params["c"], max_iter=params["max_iterations"]),
        )
        model.fit(*load("train.csv"))

        measurements, diagnosis = load("test.csv")
        predicted = model.predict(measurements)
        metrics = {
            "accuracy": float(accuracy_score(diagnosis, predicted)),
            "recall": float(recall_score(diagnosis, predicted, pos_label="malignant")),
        }
        mlflow.log_metrics(metrics)

    MODEL.parent.mkdir(exist_ok=True)
    MODEL.write_bytes(pickle.dumps(model))
    METRICS.write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"accuracy {metrics['accuracy']:.4f}")


if __name__ == "__main__":
    main()
