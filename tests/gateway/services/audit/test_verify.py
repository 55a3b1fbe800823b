"""Whatever is changed in a trail is found, and where."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.audit import chain, files
from gateway.services.audit.chain import Keys

DAY = 86400.0
LAST = "2026-11-22"


@pytest.fixture
def two_days(place: Any) -> Any:
    """Records 1 to 5 on one day, 6 to 10 on the next."""
    ledger = place.write(4)
    place.now += DAY
    place.write(4, ledger)
    assert place.verify().ok
    return place


def edit(place: Any) -> None:
    lines = place.lines()
    place.rewrite([*lines[:2], lines[2].replace(b"alice", b"mally"), *lines[3:]])


def forge(place: Any) -> None:
    """Changed, and its own hash made anew; only for chains without a key."""
    lines = place.lines()
    link = chain.parse(lines[2][:-1])
    assert link is not None
    line, _ = chain.forge(link.seq, link.prev, link.body.replace(b"alice", b"mally"), Keys())
    place.rewrite([*lines[:2], line, *lines[3:]])


def delete(place: Any) -> None:
    lines = place.lines()
    place.rewrite([*lines[:2], *lines[3:]])


def insert(place: Any) -> None:
    lines = place.lines()
    place.rewrite([*lines[:3], lines[2], *lines[3:]])


def swap(place: Any) -> None:
    lines = place.lines()
    place.rewrite([*lines[:2], lines[3], lines[2], lines[4]])


def cut_lines(place: Any) -> None:
    place.rewrite(place.lines(LAST)[:3], LAST)


def cut_bytes(place: Any) -> None:
    place.file(LAST).write_bytes(place.file(LAST).read_bytes()[:-7])


def cut_break(place: Any) -> None:
    place.file().write_bytes(place.file().read_bytes()[:-1])


def add_junk(place: Any) -> None:
    with place.file(LAST).open("ab") as file:
        file.write(b"hello\n")


def add_blank(place: Any) -> None:
    place.rewrite([*place.lines(), b"\n"])


def rename(place: Any) -> None:
    place.file().rename(place.file("2026-11-20"))


def swap_files(place: Any) -> None:
    one, other = place.file().read_bytes(), place.file(LAST).read_bytes()
    place.file().write_bytes(other)
    place.file(LAST).write_bytes(one)


def empty(place: Any) -> None:
    place.file().write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        pytest.param(edit, "2026-11-21.jsonl:3: was changed", id="a record is edited"),
        pytest.param(delete, "2026-11-21.jsonl:3: 1 record is missing before it", id="a record is taken out"),
        pytest.param(insert, "2026-11-21.jsonl:4: is out of order: record 3 after 3", id="a record is put in"),
        pytest.param(swap, "2026-11-21.jsonl:3: 1 record is missing before it", id="records change places"),
        pytest.param(
            cut_lines, "2026-11-22.jsonl:3: the trail ends with record 8: 2 were cut off", id="the end is cut"
        ),
        pytest.param(cut_bytes, "2026-11-22.jsonl:5: ", id="the end is cut within a record"),
        pytest.param(cut_break, "2026-11-21.jsonl:5: ", id="a line break is taken out"),
        pytest.param(add_junk, "2026-11-22.jsonl:6: is no record", id="something is added at the end"),
        pytest.param(add_blank, "2026-11-21.jsonl:6: is no record", id="an empty line is put in"),
        pytest.param(lambda place: place.file().unlink(), "2026-11-22.jsonl:1: 5 records before", id="the first file"),
        pytest.param(lambda place: place.file(LAST).unlink(), "2026-11-21.jsonl:5: the trail ends", id="the last file"),
        pytest.param(lambda place: place.head.unlink(), "head: is missing", id="the head is taken away"),
        pytest.param(rename, "2026-11-20.jsonl:1: does not begin as a file of this name", id="a file is renamed"),
        pytest.param(swap_files, "2026-11-21.jsonl:1: does not begin as a file of this name", id="files change names"),
        pytest.param(empty, "2026-11-21.jsonl: is empty", id="a file is emptied"),
    ],
)
def test_what_was_done_is_found_where_it_was_done(two_days: Any, harm: Callable[[Any], None], found: str):
    harm(two_days)
    verdict = two_days.verify()
    assert not verdict.ok
    assert str(verdict.breaks[0]).startswith(found), verdict.breaks


def test_a_record_made_anew_without_a_key_does_not_fit_the_next(tmp_path: Path, make_place: Any):
    place = make_place(tmp_path, ())
    place.write(4)
    forge(place)
    assert [str(each) for each in place.verify().breaks] == ["2026-11-21.jsonl:4: does not follow the record before it"]


def test_a_chain_made_anew_without_the_key_is_found(two_days: Any, tmp_path: Path, make_place: Any):
    """Somebody who can write everything, and has no key."""
    plain = make_place(tmp_path / "plain", ())
    plain.folder.mkdir()
    plain.write(9)
    shutil.copy(plain.file(), two_days.file())
    two_days.file(LAST).unlink()
    shutil.copy(plain.head, two_days.head)
    told = [each.what for each in two_days.verify().breaks]
    assert any("no record is signed" in each for each in told)


def test_unsigned_records_after_signed_ones_are_found(place: Any):
    place.write(3)
    link = chain.parse(place.lines()[-1][:-1])
    assert link is not None
    line, digest = chain.forge(link.seq + 1, link.hash, b'"kind":"request"', Keys())
    size = place.file().stat().st_size + len(line)
    head = files.standing(place.folder, place.keys).head
    assert head is not None
    place.rewrite([*place.lines(), line])
    made = chain.Head(chain=head.chain, seq=5, hash=digest, file=head.file, size=size)
    place.head.write_bytes(chain.pack_head(made, Keys()))
    told = [each.what for each in place.verify().breaks]
    assert any("is not signed, though" in each for each in told)


def test_a_trail_set_back_whole_is_found_by_a_head_kept_elsewhere(two_days: Any, tmp_path: Path):
    shutil.copytree(two_days.folder, tmp_path / "before")
    two_days.write(5)
    stands = files.standing(two_days.folder, two_days.keys).head
    assert stands is not None
    kept = (stands.seq, stands.hash)
    assert two_days.verify(expected=kept).ok
    two_days.write(1)
    assert two_days.verify(expected=kept).ok
    shutil.rmtree(two_days.folder)
    shutil.copytree(tmp_path / "before", two_days.folder)
    assert two_days.verify().ok
    (found,) = two_days.verify(expected=kept).breaks
    assert "15 was expected" in found.what
    two_days.write(9, actor="bob")
    (found,) = two_days.verify(expected=kept).breaks
    assert "is not the record whose hash was expected" in found.what


def test_only_newer_days_may_be_looked_at(two_days: Any):
    edit(two_days)
    verdict = two_days.verify(since=LAST)
    assert verdict.ok
    assert (verdict.first, verdict.files) == (6, 1)


def test_every_break_is_told_up_to_a_bound(place: Any):
    place.write(150)
    place.rewrite([line.replace(b"alice", b"mally") for line in place.lines()])
    verdict = place.verify()
    assert (len(verdict.breaks), verdict.more) == (100, 50)


def test_an_empty_folder_is_no_trail(place: Any):
    assert [each.file for each in place.verify().breaks] == ["head"]


def test_progress_is_told(place: Any):
    place.write(3)
    seen: list[tuple[int, int]] = []
    place.verify(progress=lambda done, total: seen.append((done, total)))
    size = place.file().stat().st_size
    assert seen == [(size, size)]


def test_a_trail_may_grow_meanwhile(place: Any, monkeypatch: pytest.MonkeyPatch):
    ledger = place.write(3)
    found = files.standing

    def then_more(*given: Any) -> Any:
        stands = found(*given)
        place.write(3, ledger)
        return stands

    monkeypatch.setattr(files, "standing", then_more)
    verdict = place.verify()
    assert verdict.ok
    assert verdict.last == 4


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a small trail over two days."""
    from gateway.services.audit import Event, Kind, Ledger, Result, Writer
    from gateway.services.masking import Masking

    folder, now = tmp_path_factory.mktemp("trail"), [1_795_262_400.0]
    writer = Writer("gw", Masking())
    ledger = Ledger(folder, Keys((b"k" * 32,)), writer, fsync=False, now=lambda: now[0])
    for _ in range(2):
        ledger.append([writer(Event(Kind.REQUEST, "GET", f"/{n}", Result.SUCCESS, "alice")) for n in range(3)])
        now[0] += DAY
    ledger.close()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_is_done_to_any_byte_is_found(pristine: dict[str, bytes], data: st.DataObject):
    from gateway.services.audit import verify

    name = data.draw(st.sampled_from(sorted(pristine)))
    content = pristine[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    put = data.draw(st.binary(max_size=20))
    changed = content[:start] + put + content[end:]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for each, kept in pristine.items():
            (folder / each).write_bytes(changed if each == name else kept)
        assert verify(folder, Keys((b"k" * 32,))).ok is (changed == content)


def test_any_single_byte_that_changes_is_found(pristine: dict[str, bytes], tmp_path: Path):
    from gateway.services.audit import verify

    for name, content in pristine.items():
        (tmp_path / name).write_bytes(content)
    for name, content in pristine.items():
        for index in range(0, len(content), 7):
            changed = bytearray(content)
            changed[index] ^= 0x20
            (tmp_path / name).write_bytes(changed)
            assert not verify(tmp_path, Keys((b"k" * 32,))).ok, (name, index)
        (tmp_path / name).write_bytes(content)
