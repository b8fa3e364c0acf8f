"""The files of a run: same config or none, torn lines, folders that cannot be written."""

import errno
import json
import os
from pathlib import Path

import pytest
from tests.support.runs import episode
from tests.support.stage import corridor_config

from rlem.core.errors import RunError
from rlem.runner.folder import RunFolder, versions
from rlem.runner.records import EpisodeRecord, StepRecord

RECORDS = [episode(task="a", success=True), episode(task="b"), episode(task="c", phase="train", epoch=1)]


def written(path: Path) -> RunFolder:
    """A folder with three records."""
    folder = RunFolder(path / "run")
    assert folder.open(corridor_config()) == []
    folder.append(RECORDS, [0.5, 0.25, 1.0])
    return folder


def test_a_new_folder_holds_config_and_versions(tmp_path: Path) -> None:
    """Parents are made; the config is stored as it was asked; versions name rlem and Python."""
    folder = RunFolder(tmp_path / "some" / "where")
    assert folder.open(corridor_config(epochs=1)) == []
    assert json.loads(folder.config_path.read_text())["epochs"] == 1
    stored = json.loads((folder.path / "versions.json").read_text())
    assert stored == versions()
    assert {"rlem", "python", "numpy"} <= set(stored)


def test_records_come_back_equal_and_in_order(tmp_path: Path) -> None:
    """What was appended is what is read, by another object over the same folder too."""
    folder = written(tmp_path)
    assert RunFolder(folder.path).open(corridor_config()) == RECORDS
    assert folder.episodes_path.read_bytes().isascii()


def test_timings_name_their_episode(tmp_path: Path) -> None:
    """Seconds stand in a file of their own, one line an episode."""
    lines = [json.loads(line) for line in written(tmp_path).timings_path.read_text().splitlines()]
    assert lines[0] == {"episode": ["eval", 0, "memory", 0, "a"], "seconds": 0.5}
    assert len(lines) == 3


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_torn_last_line_is_cut(tmp_path: Path, kept: int) -> None:
    """Whole records stay, the torn one goes, and appending goes on as if it had never been."""
    folder = written(tmp_path)
    whole = folder.episodes_path.read_bytes()
    lines = whole.splitlines(keepends=True)
    folder.episodes_path.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    again = RunFolder(folder.path)
    assert again.open(corridor_config()) == RECORDS[:2]
    again.append(RECORDS[2:], [1.0])
    assert folder.episodes_path.read_bytes() == whole


def test_a_whole_line_without_its_newline_is_torn(tmp_path: Path) -> None:
    """A record counts when its newline is there."""
    folder = written(tmp_path)
    folder.episodes_path.write_bytes(folder.episodes_path.read_bytes()[:-1])
    assert RunFolder(folder.path).open(corridor_config()) == RECORDS[:2]


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b"\xff\xfe\n", b"\n", b'{"schema_version": 99}\n'])
def test_a_whole_line_that_is_no_record_is_refused_by_its_number(tmp_path: Path, line: bytes) -> None:
    """Damage in the middle is never passed over in silence, and nothing is cut."""
    folder = written(tmp_path)
    lines = folder.episodes_path.read_bytes().splitlines(keepends=True)
    damaged = lines[0] + line + lines[1]
    folder.episodes_path.write_bytes(damaged)
    with pytest.raises(RunError, match="line 2"):
        RunFolder(folder.path).open(corridor_config())
    assert folder.episodes_path.read_bytes() == damaged


@pytest.mark.parametrize("text", ["\ud800 half a character", "\u2028\x85\x0b\x1e line ends", "\x00", "é🫖"])
def test_texts_of_an_environment_come_back_whole(tmp_path: Path, text: str) -> None:
    """Lone surrogates and strange line ends neither break the file nor change."""
    record = RECORDS[0].model_copy(
        update={"instruction": text, "steps": [StepRecord(observation=text, action=text, answer=text)]}
    )
    folder = RunFolder(tmp_path)
    folder.open(corridor_config())
    folder.append([record, RECORDS[1]], [0.0, 0.0])
    assert RunFolder(tmp_path).open(corridor_config()) == [record, RECORDS[1]]


def test_another_config_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    """The message has the field, the old and the new value; the folder stays as it is."""
    folder = written(tmp_path)
    before = folder.config_path.read_bytes()
    with pytest.raises(RunError, match=r"epochs: 2 there, 3 now") as error:
        RunFolder(folder.path).open(corridor_config(epochs=3, seeds=[4]))
    assert "seeds: [0] there, [4] now" in str(error.value)
    assert "max_steps" not in str(error.value)
    assert folder.config_path.read_bytes() == before


def test_the_same_config_in_other_words_is_the_same(tmp_path: Path) -> None:
    """A default that is given and one that is not are one config."""
    folder = written(tmp_path)
    assert len(RunFolder(folder.path).open(corridor_config(model="embedded", skip_solved=True))) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"environment": "x", "surprise": 1}', "\x00"])
def test_a_config_that_cannot_be_read_is_a_run_error(tmp_path: Path, content: str) -> None:
    """It is named; nothing is written over it."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"config\.json"):
        RunFolder(tmp_path).open(corridor_config())
    assert (tmp_path / "config.json").read_text() == content


def test_episodes_without_config_are_not_taken_over(tmp_path: Path) -> None:
    """Records of an unknown run are left alone."""
    (tmp_path / "episodes.jsonl").write_text("")
    with pytest.raises(RunError, match=r"no config\.json"):
        RunFolder(tmp_path).open(corridor_config())


def test_a_path_that_is_a_file_is_a_run_error(tmp_path: Path) -> None:
    """A file in the folder's place, or in its parent's."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot be written"):
            RunFolder(path).open(corridor_config())


@pytest.mark.parametrize("method", ["mkdir", "write_text", "replace", "read_bytes"])
def test_a_folder_that_cannot_be_used_is_a_run_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Read-only disks and missing rights are told in one line, wherever they show first."""
    folder = written(tmp_path)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(RunError, match="Read-only file system"):
        RunFolder(folder.path).open(corridor_config())


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_write_permission_is_a_run_error(tmp_path: Path) -> None:
    """The same with real permissions."""
    folder = written(tmp_path)
    folder.path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="cannot be written"):
            RunFolder(folder.path).open(corridor_config())
    finally:
        folder.path.chmod(0o700)


def test_a_full_disk_is_a_run_error_and_the_run_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before is safe and readable; the message says what to do."""
    folder = written(tmp_path)
    with monkeypatch.context() as patch:

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"No space left.*make room"):
            folder.append([RECORDS[0]], [0.0])
    assert RunFolder(folder.path).open(corridor_config())[:3] == RECORDS


def test_record_schema_refuses_unknown_keys() -> None:
    """A record of a newer schema is not read as if it were ours."""
    line = json.loads(RECORDS[0].model_dump_json()) | {"mood": "good"}
    with pytest.raises(ValueError, match="mood"):
        EpisodeRecord.model_validate(line)
