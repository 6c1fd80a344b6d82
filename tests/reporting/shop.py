"""A history to look at: three months of runs on eight states of a shop's data, and its models."""

from __future__ import annotations

import math
import os
import random

import mlflow
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.tracking import write_tags
from tests.project import Project

PIPELINE = """\
stages:
  clean:
    cmd: mkdir -p data/clean && cat data/raw/*.csv > data/clean/orders.csv
    deps: [data/raw]
    outs: [data/clean]
  features:
    cmd: mkdir -p data/features && cat data/clean/*.csv data/*.csv > data/features/train.csv
    deps: [data/clean, data/holidays.csv]
    outs: [data/features]
  train:
    cmd: mkdir -p models && head -c 40000 data/features/train.csv > models/forecast.bin
    deps: [data/features, data/pretrained.bin]
    outs: [models/forecast.bin]
"""
_DAY = 86_400_000
_START = 1_781_500_000_000
_NAMES = ("calm-heron", "bold-otter", "quick-lynx", "warm-finch", "keen-badger", "shy-marten")


class Shop:
    """An experiment in a store, the project of its runs, and a registered model ``forecast``."""

    def __init__(
        self,
        project: Project,
        uri: str,
        *,
        runs: int = 60,
        states: int = 8,
        name: str = "Shop forecast",
    ) -> None:
        self.project, self.client = project, MlflowClient(uri)
        mlflow.set_tracking_uri(uri)
        self.name = name
        self.experiment = self.client.create_experiment(name)
        self.runs: list[str] = []
        self._uri, self._random = uri, random.Random(7)
        project.write("dvc.yaml", PIPELINE)
        project.add("data/holidays.csv", "day\n" * 300)
        project.add("data/pretrained.bin", b"\1" * 240_000)
        for number in range(states):
            self._change(number)
            share = runs * (number + 1) // states - len(self.runs)
            for _ in range(share):
                self._run(number, edited=number in (2, 5) and self._random.random() < 0.25)
        project.dvc("repro", "-q")
        if uri.startswith("sqlite"):
            write_tags(
                self.runs[-1], {"dvc.out.models/forecast.bin": self._read_out()}, tracking_uri=uri
            )
        self._register()

    def _read_out(self) -> str:
        state = capture(self.project.path)
        assert state is not None
        return next(str(e.hash) for e in state.entries if e.path == "models/forecast.bin")

    def _change(self, number: int) -> None:
        rows = "".join(f"{n},{self._random.random():.3f}\n" for n in range(900 + 400 * number))
        self.project.write(f"data/raw/2026-{number + 1:02}.csv", rows)
        self.project.add("data/raw")
        if number == 4:
            self.project.add("data/pretrained.bin", b"\2" * 260_000)
        self.project.dvc("repro", "-q", "features")
        self.project.commit(f"Data of month {number + 1}")

    def _run(self, number: int, edited: bool) -> str:
        count = len(self.runs)
        tags = self._capture(edited)
        start = _START + count * _DAY // 3 + number * 4 * _DAY
        name = f"{self._random.choice(_NAMES)}-{count + 100}"
        made = self.client.create_run(self.experiment, start_time=start, tags=tags, run_name=name)
        run_id = str(made.info.run_id)
        score = 0.93 - 0.2 * math.exp(-number / 3) - abs(self._random.gauss(0, 0.012))
        self.client.log_metric(run_id, "accuracy", round(score + (0.02 if edited else 0), 4))
        self.client.log_metric(run_id, "rmse", round(2.4 - 2 * score, 4))
        failed = self._random.random() < 0.05
        status = "FAILED" if failed else "FINISHED"
        self.client.set_terminated(run_id, status, end_time=start + 600_000)
        self.runs.append(run_id)
        return run_id

    def _capture(self, edited: bool) -> dict[str, str]:
        path = self.project.path / "data/pretrained.bin"
        before = path.read_bytes()
        os.environ["DVC_STAGE"] = "train"
        try:
            if edited:
                self.project.write("data/pretrained.bin", before + b"!")
            state = capture(self.project.path)
        finally:
            del os.environ["DVC_STAGE"]
            if edited:
                self.project.write("data/pretrained.bin", before)
        assert state is not None
        return state.to_tags()

    def _register(self) -> None:
        client = self.client
        client.create_registered_model("forecast")
        places = {
            len(self.runs) // 2: "",
            len(self.runs) - 3: "champion",
            len(self.runs) - 1: "next",
        }
        for place, alias in places.items():
            run_id = self.runs[place]
            model = client.create_logged_model(self.experiment, name="net", source_run_id=run_id)
            model_id = client.finalize_logged_model(model.model_id, "READY").model_id
            made = client.create_model_version(
                "forecast", f"models:/{model_id}", run_id, model_id=model_id
            )
            if alias:
                client.set_registered_model_alias("forecast", alias, made.version)
