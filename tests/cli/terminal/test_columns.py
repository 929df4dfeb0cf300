"""Tables of commands: whole in a pipe, within the width of a terminal."""

import pytest

from thingmint.cli.terminal.columns import printable, table

ROWS = [["name", "value"], ["short", "x" * 30], ["a-longer-name", "one two three four five"]]


def test_columns_are_as_wide_as_they_need_where_there_is_no_terminal() -> None:
    assert list(table(ROWS, None)) == [
        "name           value",
        f"short          {'x' * 30}",
        "a-longer-name  one two three four five",
    ]


@pytest.mark.parametrize("width", [80, 45, 40, 30, 20])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    lines = list(table(ROWS, width))
    assert max(map(len, lines)) <= width
    assert sum(line.count("x") for line in lines) == 30
    assert "".join("".join(lines).split()).count("five") == 1


def test_a_mark_behind_the_last_character_that_fits_makes_no_line_longer() -> None:
    path = "/dev/shm/helper/popen-gw0/test_on_a_terminal_lines"
    for width in range(30, 60):
        assert max(map(len, table([["data_dir", path, "flag --data-dir"]], width))) <= width, width


def test_a_terminal_that_is_too_narrow_for_any_table_gets_lines_that_it_breaks_itself() -> None:
    assert max(map(len, table(ROWS, 5))) == 18


def test_a_table_without_rows_has_no_lines() -> None:
    assert list(table([], 80)) == []


def test_what_a_terminal_takes_for_a_command_is_escaped() -> None:
    assert printable("a\x1b[2Jb\nc\u202eé€") == "a\\x1b[2Jb\\nc\\u202eé€"
    assert list(table([["\x1b[31m"]], None)) == ["\\x1b[31m"]
