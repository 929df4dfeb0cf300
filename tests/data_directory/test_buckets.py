"""The directory of buckets: what is read, what is never reached, and reports that survive a crash."""

import errno
import os
from pathlib import Path

import pytest
from tests.support.registration.authority import ACCOUNT

from thingmint.core.errors import InvalidRequest, ServiceUnavailable
from thingmint.core.identifiers import AccountId
from thingmint.core.provisioning.registration_task import MAX_LINE_BYTES, InputFile, InputLine, ReportType, TaskBroken
from thingmint.data_directory import buckets as module
from thingmint.data_directory.buckets import REPORTS, Buckets, NoBuckets

RESULTS, ERRORS = ReportType.RESULTS, ReportType.ERRORS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory of buckets, with a secret beside it."""
    (tmp_path / "secret.json").write_text("{}\n")
    folder = tmp_path / "buckets"
    (folder / ACCOUNT / "factory" / "lines").mkdir(parents=True)
    (folder / ACCOUNT / "factory" / "lines" / "batch.json").write_text('{"a":"1"}\n{"a":"2"}\n')
    return folder


async def lines_of(root: Path, text: bytes, count: int = 100) -> list[InputLine]:
    (root / ACCOUNT / "factory" / "input.json").write_bytes(text)
    buckets = Buckets(root)
    file = await buckets.find(ACCOUNT, "factory", "input.json")
    found: list[InputLine] = []
    offset, number = 0, 1
    while batch := await buckets.lines(ACCOUNT, file, offset, number, count):
        assert len(batch) <= count
        found += batch
        offset, number = batch[-1].end, number + len(batch)
    assert offset == len(text)
    return found


async def test_a_file_is_found_by_bucket_and_key(root: Path) -> None:
    path = root / ACCOUNT / "factory" / "lines" / "batch.json"
    file = await Buckets(root).find(ACCOUNT, "factory", "lines/batch.json")
    assert file == InputFile("factory", "lines/batch.json", 20, path.stat().st_mtime_ns)


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("factory", "missing.json"),
        ("missing", "batch.json"),
        ("factory", "lines"),
        ("factory", "lines/batch.json/x"),
        ("..", "secret.json"),
        (".", "factory/lines/batch.json"),
        ("factory", "../../secret.json"),
        ("factory", "lines/../../../secret.json"),
        ("factory", "./lines/batch.json"),
        ("factory", "lines//batch.json"),
        ("factory", "/etc/passwd"),
        ("factory", "lines/batch.json/"),
        ("factory", ""),
        ("", "secret.json"),
        ("factory", "a\0b"),
        ("factory/lines", "batch.json/../batch.json"),
        ("factory", "x" * 300),
    ],
)
async def test_what_is_no_file_of_a_bucket_is_refused_without_a_reason(root: Path, bucket: str, key: str) -> None:
    with pytest.raises(InvalidRequest, match="There is no file"):
        await Buckets(root).find(ACCOUNT, bucket, key)


async def test_symbolic_links_are_not_followed_wherever_they_stand(root: Path, tmp_path: Path) -> None:
    (root / ACCOUNT / "factory" / "file.json").symlink_to(tmp_path / "secret.json")
    (root / ACCOUNT / "factory" / "inside.json").symlink_to(root / ACCOUNT / "factory" / "lines" / "batch.json")
    (root / ACCOUNT / "factory" / "folder").symlink_to(tmp_path)
    (root / ACCOUNT / "bucket").symlink_to(tmp_path)
    for bucket, key in (
        ("factory", "file.json"),
        ("factory", "inside.json"),
        ("factory", "folder/secret.json"),
        ("bucket", "secret.json"),
    ):
        with pytest.raises(InvalidRequest):
            await Buckets(root).find(ACCOUNT, bucket, key)


async def test_the_directory_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert (await Buckets(tmp_path / "link").find(ACCOUNT, "factory", "lines/batch.json")).size == 20


async def test_a_pipe_is_refused_and_not_waited_for(root: Path) -> None:
    os.mkfifo(root / ACCOUNT / "factory" / "pipe")
    with pytest.raises(InvalidRequest):
        await Buckets(root).find(ACCOUNT, "factory", "pipe")


async def test_lines_are_read_in_batches_with_their_numbers_and_places(root: Path) -> None:
    assert await lines_of(root, b"a\n\nbc\r\nd", count=2) == [
        InputLine(1, 0, 2, b"a\n"),
        InputLine(2, 2, 3, b"\n"),
        InputLine(3, 3, 7, b"bc\r\n"),
        InputLine(4, 7, 8, b"d"),
    ]
    assert await lines_of(root, b"") == []


@pytest.mark.parametrize("end", [b"\n", b"\nnext\n", b""])
@pytest.mark.parametrize("length", [MAX_LINE_BYTES + 1, MAX_LINE_BYTES * 3])
async def test_a_line_that_is_too_long_is_passed_over(root: Path, length: int, end: bytes) -> None:
    first, *others = await lines_of(root, b"x" * length + end)
    assert (first.number, first.offset, first.text) == (1, 0, None)
    assert first.end == length + bool(end)
    assert [each.text for each in others] == ([b"next\n"] if b"next" in end else [])


async def test_the_longest_line_is_read(root: Path) -> None:
    text = b"x" * MAX_LINE_BYTES
    assert [each.text for each in await lines_of(root, text + b"\ny\n")] == [text + b"\n", b"y\n"]
    assert [each.text for each in await lines_of(root, text)] == [text]


async def test_not_much_is_read_at_once_however_many_lines_are_asked_for(root: Path) -> None:
    text = (b"x" * 200_000 + b"\n") * 20
    (root / ACCOUNT / "factory" / "input.json").write_bytes(text)
    buckets = Buckets(root)
    batch = await buckets.lines(ACCOUNT, await buckets.find(ACCOUNT, "factory", "input.json"), 0, 1, 100)
    assert 1 < len(batch) < 10


@pytest.mark.parametrize("change", ["size", "stamp", "gone", "link"])
async def test_a_file_that_is_not_what_it_was_is_not_read(root: Path, tmp_path: Path, change: str) -> None:
    path = root / ACCOUNT / "factory" / "lines" / "batch.json"
    buckets = Buckets(root)
    file = await buckets.find(ACCOUNT, "factory", "lines/batch.json")
    if change == "size":
        path.write_text("{}\n")
        os.utime(path, ns=(file.stamp, file.stamp))
    elif change == "stamp":
        os.utime(path, ns=(file.stamp + 1, file.stamp + 1))
    else:
        path.unlink()
    if change == "link":
        path.symlink_to(tmp_path / "secret.json")
    with pytest.raises(TaskBroken, match="input file"):
        await buckets.lines(ACCOUNT, file, 0, 1, 10)


async def test_reports_grow_and_forget_what_was_not_counted(root: Path) -> None:
    buckets = Buckets(root)
    path = root / REPORTS / "task-results.json"
    assert await buckets.append("task", RESULTS, 0, b"one\n") == 4
    assert await buckets.append("task", RESULTS, 4, b"two\n") == 8
    assert await buckets.append("task", RESULTS, 4, b"deux\n") == 9
    assert path.read_bytes() == b"one\ndeux\n"
    assert await buckets.append("task", RESULTS, 9, b"") == 9
    assert await buckets.append("task", ERRORS, 0, b"") == 0
    assert sorted(each.name for each in (root / REPORTS).iterdir()) == ["task-results.json"]
    assert buckets.location("task", RESULTS) == path.as_uri()


async def test_a_report_that_has_become_shorter_breaks_the_task(root: Path) -> None:
    buckets = Buckets(root)
    await buckets.append("task", RESULTS, 0, b"one\n")
    with pytest.raises(TaskBroken, match="has lost"):
        await buckets.append("task", RESULTS, 5, b"two\n")


async def test_reports_are_not_written_through_links(root: Path, tmp_path: Path) -> None:
    buckets = Buckets(root)
    (root / REPORTS).mkdir()
    (root / REPORTS / "task-results.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(TaskBroken, match="cannot be written"):
        await buckets.append("task", RESULTS, 0, b"one\n")
    assert (tmp_path / "secret.json").read_text() == "{}\n"


async def test_a_report_that_cannot_be_written_breaks_the_task(root: Path) -> None:
    (root / REPORTS).write_text("a file where the folder should be")
    with pytest.raises(TaskBroken, match="A report cannot be written"):
        await Buckets(root).append("task", RESULTS, 0, b"one\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ESTALE])
async def test_what_passes_breaks_no_task_and_is_told_once(
    root: Path, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    buckets, real = Buckets(root), os.fsync

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    caplog.set_level("INFO")
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match=os.strerror(number)):
            await buckets.append("task", RESULTS, 0, b"one\n")
    monkeypatch.setattr(os, "fsync", real)
    assert await buckets.append("task", RESULTS, 0, b"one\n") == 4
    assert await buckets.append("task", RESULTS, 4, b"two\n") == 8
    assert (root / REPORTS / "task-results.json").read_bytes() == b"one\ntwo\n"
    assert [record.getMessage() for record in caplog.records] == [
        f"bulk registrations wait: a report cannot be written: {os.strerror(number)}",
        "the reports of bulk registrations are written again",
    ]


async def test_an_input_that_cannot_be_opened_now_breaks_no_task(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = Buckets(root)
    file = await buckets.find(ACCOUNT, "factory", "lines/batch.json")

    def refuse(*arguments: object, **options: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ServiceUnavailable):
        await buckets.lines(ACCOUNT, file, 0, 1, 10)
    with pytest.raises(ServiceUnavailable):
        await buckets.find(ACCOUNT, "factory", "lines/batch.json")


@pytest.mark.parametrize("kind", ["file", "link", "rights"])
async def test_no_task_starts_whose_reports_cannot_be_written(
    root: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "file":
        (root / REPORTS).write_text("a file where the folder should be")
    elif kind == "link":
        (root / REPORTS).symlink_to(tmp_path)
    else:
        # Rights do not restrict root, who may run the tests.
        monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
    with pytest.raises(InvalidRequest, match=r"^Reports of bulk registrations cannot be written: "):
        await Buckets(root).find(ACCOUNT, "factory", "lines/batch.json")


async def test_a_short_write_is_continued(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    class Slow:
        def write(self, data: memoryview) -> int:
            written.append(bytes(data[:2]))
            return min(2, len(data))

    module._write_all(Slow(), b"abcde")  # type: ignore[arg-type]  # all that is asked of a file is here
    assert written == [b"ab", b"cd", b"e"]


async def test_reports_are_deleted_where_they_are(root: Path) -> None:
    buckets = Buckets(root)
    await buckets.append("task", RESULTS, 0, b"one\n")
    await buckets.append("other", RESULTS, 0, b"two\n")
    await buckets.delete_reports("task")
    await buckets.delete_reports("task")
    assert [each.name for each in (root / REPORTS).iterdir()] == ["other-results.json"]


OTHER = AccountId("222222222222")


@pytest.mark.parametrize(
    ("account", "bucket", "key"),
    [
        (OTHER, "factory", "lines/batch.json"),
        (OTHER, "..", "123456789012/factory/lines/batch.json"),
        (OTHER, "../123456789012", "factory/lines/batch.json"),
        (OTHER, "../123456789012/factory", "lines/batch.json"),
        (OTHER, ACCOUNT, "factory/lines/batch.json"),
        (OTHER, "linked", "lines/batch.json"),
        (OTHER, "own", "linked.json"),
        (OTHER, "own", "linked/lines/batch.json"),
        (ACCOUNT, REPORTS, "task-results.json"),
        (ACCOUNT, "factory/lines", "batch.json"),
        (AccountId(REPORTS), "task-results.json", ""),
        (AccountId("333333333333"), "factory", "lines/batch.json"),
    ],
)
async def test_an_account_reads_its_own_buckets_only(root: Path, account: AccountId, bucket: str, key: str) -> None:
    own = root / OTHER / "own"
    own.mkdir(parents=True)
    (root / ACCOUNT / REPORTS).mkdir()
    (root / ACCOUNT / REPORTS / "task-results.json").write_text("{}\n")
    (root / OTHER / "linked").symlink_to(root / ACCOUNT / "factory")
    (own / "linked").symlink_to(root / ACCOUNT / "factory")
    (own / "linked.json").symlink_to(root / ACCOUNT / "factory" / "lines" / "batch.json")
    # The folder of an account is not another one's either.
    (root / "333333333333").symlink_to(root / ACCOUNT)
    with pytest.raises(InvalidRequest, match="There is no file"):
        await Buckets(root).find(account, bucket, key)


async def test_a_task_reads_no_file_of_another_account(root: Path) -> None:
    buckets = Buckets(root)
    file = await buckets.find(ACCOUNT, "factory", "lines/batch.json")
    (root / OTHER).mkdir()
    with pytest.raises(TaskBroken):
        await buckets.lines(OTHER, file, 0, 1, 10)
    assert len(await buckets.lines(ACCOUNT, file, 0, 1, 10)) == 2


def test_folders_of_no_account_are_told(root: Path) -> None:
    (root / REPORTS).mkdir()
    (root / "file").write_text("x")
    (root / "factory").mkdir()
    (root / "1234").mkdir()
    assert Buckets(root).misplaced() == ["1234", "factory"]


async def test_a_directory_that_is_away_breaks_no_task(root: Path) -> None:
    buckets = Buckets(root)
    file = await buckets.find(ACCOUNT, "factory", "lines/batch.json")
    move_away(root / ACCOUNT)
    with pytest.raises(ServiceUnavailable):
        await buckets.lines(ACCOUNT, file, 0, 1, 10)
    move_away(root)
    with pytest.raises(ServiceUnavailable):
        await buckets.append("task", RESULTS, 0, b"one\n")


def test_a_directory_is_reachable_while_it_is_there(root: Path) -> None:
    assert Buckets(root).are_reachable
    move_away(root)
    assert not Buckets(root).are_reachable


def move_away(folder: Path) -> None:
    """Do what happens to a mount point that is not mounted."""
    folder.rename(folder.with_name(f"{folder.name}-away"))


async def test_without_a_directory_there_is_nothing() -> None:
    nothing, file = NoBuckets(), InputFile("factory", "x", 1, 1)
    assert not nothing.are_reachable
    with pytest.raises(InvalidRequest, match="registration_dir"):
        await nothing.find(ACCOUNT, "factory", "x")
    with pytest.raises(ServiceUnavailable, match="registration_dir"):
        await nothing.lines(ACCOUNT, file, 0, 1, 1)
    with pytest.raises(ServiceUnavailable, match="registration_dir"):
        await nothing.append("task", RESULTS, 0, b"")
    await nothing.delete_reports("task")
    assert nothing.location("task", RESULTS) == "about:blank#task-results"
