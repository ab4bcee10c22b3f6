from __future__ import annotations

from tests.system.attribute_table import attribute_table

VALUES = {
    "id": "run_1",
    "instructions": None,
    "created_at": 1,
    "metadata": {"a": "b"},
    "steps": [{"details": "x" * 500}] * 3,
}


def test_no_line_is_wider_than_the_width() -> None:
    lines = attribute_table(VALUES, VALUES, width=80)

    assert max(len(line) for line in lines) == 80


def test_a_long_value_is_shortened_and_shown_with_its_size() -> None:
    line = attribute_table(VALUES, ["steps"], width=80)[-1]

    assert "list of 3, 1,551 B" in line
    assert line.endswith("...")


def test_a_short_value_is_shown_whole_as_json() -> None:
    lines = attribute_table(VALUES, ["id", "instructions", "created_at", "metadata"])[2:]

    assert [line.split(maxsplit=1)[0] for line in lines] == ["id", "instructions", "created_at", "metadata"]
    assert [line.rstrip().rsplit("  ", 1)[1].strip() for line in lines] == [
        '"run_1"',
        "null",
        "1",
        '{"a": "b"}',
    ]
