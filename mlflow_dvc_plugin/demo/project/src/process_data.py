"""Split the raw measurements into a training and a test set."""

from pathlib import Path

import pandas as pd
import yaml
from sklearn.model_selection import train_test_split

RAW = Path("data/raw/breast_cancer.csv")
PROCESSED = Path("data/processed")


def main() -> None:
    """Write train.csv and test.csv, with the same share of each diagnosis in both."""
    params = yaml.safe_load(Path("params.yaml").read_text())["process"]
    patients = pd.read_csv(RAW).dropna()
    train, test = train_test_split(
        patients,
        test_size=params["test_share"],
        random_state=params["seed"],
        stratify=patients["diagnosis"],
    )

    # DVC removes a stage's outputs before it runs the stage, so the folder must be created.
    PROCESSED.mkdir(parents=True, exist_ok=True)
    train.to_csv(PROCESSED / "train.csv", index=False)
    test.to_csv(PROCESSED / "test.csv", index=False)
    print(f"{len(train)} patients to train on, {len(test)} to test on")


if __name__ == "__main__":
    main()
