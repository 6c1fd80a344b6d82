"""The tag of forgotten data: what it says, and that it takes nothing else for that."""

from __future__ import annotations

import pytest

from mlflow_dvc_plugin.state.forgotten_tag import NOTHING_FORGOTTEN, Forgotten, read_forgotten

MARKS = {
    "1 object, 2026-11-26": Forgotten(1, "2026-11-26", "2026-11-26"),
    "3 objects, 2026-11-26 to 2027-01-15": Forgotten(3, "2026-11-26", "2027-01-15"),
    "deleting 2 objects since 2026-11-26": Forgotten(0, "", "", 2, "2026-11-26"),
    "1 object, 2026-11-26; deleting 2 objects since 2027-01-15": Forgotten(
        1, "2026-11-26", "2026-11-26", 2, "2027-01-15"
    ),
}


@pytest.mark.parametrize(("text", "mark"), MARKS.items())
def test_a_tag_is_read_as_it_was_written(text: str, mark: Forgotten) -> None:
    assert (mark.to_tag(), read_forgotten({"dvc.forgotten": text})) == (text, mark)


def test_deletions_of_a_run_add_up_and_an_interrupted_one_goes_on() -> None:
    begun = NOTHING_FORGOTTEN.begin(2, "2026-11-26")
    # Some objects may be gone when it goes on, and the day may be another.
    assert begun.begin(1, "2026-11-27") == begun
    done = begun.finish("2026-11-27")
    assert done.to_tag() == "2 objects, 2026-11-27"
    more = done.begin(1, "2026-12-03").finish("2026-12-03")
    assert more.to_tag() == "3 objects, 2026-11-27 to 2026-12-03"
    assert more.describe() == "forgotten between 2026-11-27 and 2026-12-03"
    assert [more.explains(missing) for missing in (0, 1, 3, 4)] == [False, True, True, False]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "lots",
        "2 objects",
        "-1 objects, 2026-11-26",
        "2 objects, today",
        "2 objects, 2026-11-26\n",
        "2 objects, 2026-11-26; DROP TABLE runs",
        "9" * 400 + " objects, 2026-11-26",
        "\u0663 objects, 2026-11-26",
        "deleting 2 objects since",
        "\x1b[2J2 objects, 2026-11-26",
    ],
)
def test_another_text_means_nothing(value: str) -> None:
    assert read_forgotten({"dvc.forgotten": value}) == NOTHING_FORGOTTEN
