"""What may have made a run and its repetition different."""

from __future__ import annotations

from mlflow_dvc_plugin.dvc.stages import StageRecord
from mlflow_dvc_plugin.rerunning.environment.comparison import PackageDifference
from mlflow_dvc_plugin.rerunning.environment.pins import read_pins
from mlflow_dvc_plugin.rerunning.environment.record import EnvironmentRecord
from mlflow_dvc_plugin.rerunning.reasons import find_reasons
from mlflow_dvc_plugin.rerunning.verdict import Comparison
from mlflow_dvc_plugin.tracking import Run

STAGE = StageRecord(("python train.py",), ".", (), {}, ())
RECORDED = EnvironmentRecord("", {}, "requirements.txt", read_pins("requirements.txt", b"a==1"))
HARDWARE = "The hardware is not recorded."


def explain(
    old: dict[str, str],
    new: dict[str, str],
    *,
    stage: StageRecord = STAGE,
    inputs: tuple[Comparison, ...] = (),
    packages: list[PackageDifference] | None = None,
    environment: EnvironmentRecord = RECORDED,
) -> list[str]:
    runs = [Run("0" * 32, "fit", "0", 0, {}, params=params) for params in (old, new)]
    *found, last = find_reasons(
        *runs, stage=stage, inputs=inputs, environment=environment, packages=packages
    )
    assert last == HARDWARE
    return found


def explain_seeds(
    old: dict[str, str], new: dict[str, str], stage: StageRecord = STAGE
) -> list[str]:
    return explain(old, new, stage=stage, packages=[])


def test_seeds_are_found_by_name_in_the_params_of_both_runs() -> None:
    assert explain_seeds({"lr": "1"}, {"lr": "2"}) == ["No seed is recorded."]
    assert explain_seeds({"train.Seed": "1"}, {"train.Seed": "1"}) == []
    assert explain_seeds({"seed": "1"}, {"seed": "2"}) == ["The param seed was 1 and is 2."]
    assert explain_seeds({}, {"seed": "2"}) == ["Only the rerun logged the param seed."]
    assert explain_seeds({"seed": "2"}, {}) == ["Only the run logged the param seed."]
    unset = {"random_state": "None"}
    assert explain_seeds(unset, unset) == ["The param random_state is not set."]


def test_a_seed_in_a_command_or_in_the_params_of_the_stage_is_recorded() -> None:
    command = STAGE._replace(commands=("python train.py --random-state 3",))
    assert explain_seeds({}, {}, command) == []
    for text in ("python train.py unseeded", "python seeded.py"):
        assert explain_seeds({}, {}, STAGE._replace(commands=(text,))) == ["No seed is recorded."]
    params = STAGE._replace(deps={"ParamsDependency params.yaml": {"train.seed": 3}})
    assert explain_seeds({}, {}, params) == []
    named = STAGE._replace(deps={"Dependency seeds.csv": "0" * 32})
    assert explain_seeds({}, {}, named) == ["No seed is recorded."]


def test_data_and_packages_that_differ_are_named() -> None:
    seed = {"seed": "1"}
    inputs = (
        Comparison("a.csv", "1", "1", "identical"),
        Comparison("b.csv", "1", "2", "different"),
        Comparison("c.csv", None, "2", None),
    )
    packages = [
        PackageDifference("numpy", "1.26.4", "2.1.0"),
        PackageDifference("python", "3.10", "3.11.7"),
        PackageDifference("torch", "2.1", None),
    ]
    changed = "numpy (1.26.4, now 2.1.0), torch (2.1, now not installed)"
    assert explain(seed, seed, inputs=inputs, packages=packages) == [
        "The data differs: b.csv.",
        "Python was 3.10 and is 3.11.7.",
        f"The versions of packages differ: {changed}.",
    ]


def test_it_says_when_packages_are_not_known() -> None:
    seed = {"seed": "1"}
    assert explain(seed, seed) == ["The versions of the run's packages could not be compared."]
    unknown = EnvironmentRecord("", {}, "", ())
    python = [PackageDifference("python", "3.10", "3.11.7")]
    assert explain(seed, seed, environment=unknown, packages=python) == [
        "The versions of the run's packages are not recorded.",
        "Python was 3.10 and is 3.11.7.",
    ]
