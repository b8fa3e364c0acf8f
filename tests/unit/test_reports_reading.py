"""Run folders as they are found: whole, interrupted, damaged."""

from pathlib import Path

import pytest
from tests.support.runs import config, episode, write_run

from rlem.core.errors import DataError, RunError
from rlem.reports.reading import EpisodeFile, read_config, read_versions

RECORDS = [episode(task="a", success=True), episode(task="b"), episode(task="c", success=True)]


def test_episodes_come_in_file_order_and_can_be_found_again(tmp_path: Path) -> None:
    """Each record is given with the offset that gets it back."""
    file = EpisodeFile(write_run(tmp_path, RECORDS, config()) / "episodes.jsonl")
    found = list(file)
    assert [record for _, record in found] == RECORDS
    assert file.at([found[2][0], found[0][0]]) == [RECORDS[2], RECORDS[0]]
    assert not file.torn


@pytest.mark.parametrize("torn", ['{"phase": "eval", "ins', "{", "\x00\x00\x00", '{"phase": "\xe4'])
def test_a_torn_last_line_is_passed_over_and_reported(tmp_path: Path, torn: str) -> None:
    """A run killed in mid-line loses that line only."""
    file = EpisodeFile(write_run(tmp_path, RECORDS, config(), torn=torn) / "episodes.jsonl")
    assert [record for _, record in file] == RECORDS
    assert file.torn


def test_a_complete_last_line_without_newline_counts(tmp_path: Path) -> None:
    """Only the newline is missing: the record is whole."""
    last = episode(task="d")
    folder = write_run(tmp_path, RECORDS, config(), torn=last.model_dump_json())
    file = EpisodeFile(folder / "episodes.jsonl")
    assert [record for _, record in file] == [*RECORDS, last]
    assert not file.torn


def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    """A cut line with others after it is damage, not an interruption."""
    path = write_run(tmp_path, RECORDS, config()) / "episodes.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + '{"phase": \n' + lines[2])
    with pytest.raises(DataError, match="line 2"):
        list(EpisodeFile(path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"schema_version": 99}', "update rlem"),
        ('{"phase": "eval"}', "not an episode record"),
        ("[]", "line 4"),
    ],
)
def test_a_whole_last_line_of_the_wrong_form_is_an_error(tmp_path: Path, line: str, said: str) -> None:
    """Valid JSON that is no record was not cut short: it is not dropped silently."""
    folder = write_run(tmp_path, RECORDS, config(), torn=line)
    with pytest.raises(DataError, match=said):
        list(EpisodeFile(folder / "episodes.jsonl"))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """Missing config or episodes are run errors, a damaged config is a data error."""
    with pytest.raises(RunError, match=r"config\.json"):
        read_config(tmp_path)
    with pytest.raises(RunError, match="no episodes yet"):
        list(EpisodeFile(tmp_path / "episodes.jsonl"))
    (tmp_path / "config.json").write_text('{"environment": 3}')
    with pytest.raises(DataError, match="environment"):
        read_config(tmp_path)


def test_versions_are_flat_and_may_be_absent(tmp_path: Path) -> None:
    """Nested versions get dotted names; no file or a broken one gives none."""
    assert read_versions(tmp_path) == {}
    write_run(tmp_path, [], config())
    assert read_versions(tmp_path) == {"rlem": "0.1.0", "python": "3.11.7", "libraries.numpy": "2.4.6"}
    (tmp_path / "versions.json").write_text("[1")
    assert read_versions(tmp_path) == {}
