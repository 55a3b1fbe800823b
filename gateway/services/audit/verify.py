"""Finds the first place, and others, where a trail is not what was written.

Found are records that were changed, left out, put in, put elsewhere or cut off at the end, files that were taken away,
and whatever stands in them and is no record. Not found without a key: a chain computed anew from some place on, and its
head with it. Not found without a hash kept elsewhere (``expected``): a trail set back, files and head together, to what
it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.services.audit import chain, files
from gateway.services.audit.chain import Keys, Link

MOST: Final = 100
"""Breaks that are told."""
STEP: Final = 4 * 1024 * 1024
"""Bytes between two words about progress."""


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain does not hold."""

    file: str
    line: int
    """From 1; 0 for the file as a whole."""
    what: str
    seq: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


@dataclass(slots=True)
class Verdict:
    """What a look at a trail found."""

    breaks: list[Break] = field(default_factory=list)
    more: int = 0
    """Breaks beyond `MOST`."""
    records: int = 0
    files: int = 0
    first: int = 0
    """Sequence of the first record."""
    last: int = 0
    hash: str = chain.ZERO
    """Of the last record."""
    chain: str = ""
    keyed: bool = False
    """The last record is signed with a key."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """What the gateway has repaired and found missing itself."""

    @property
    def ok(self) -> bool:
        return not self.breaks

    def say(self, file: str, line: int, what: str, seq: int | None = None) -> None:
        """One more break."""
        if len(self.breaks) < MOST:
            self.breaks.append(Break(file, line, what, seq))
        else:
            self.more += 1


Progress = Callable[[int, int], None]
"""(bytes looked at, bytes in all)."""


def verify(
    folder: Path,
    keys: Keys,
    *,
    expected: tuple[int, str] | None = None,
    since: str = "",
    progress: Progress | None = None,
) -> Verdict:
    """Look at a whole trail, or at its files from the day ``since`` on, as it stands now; a gateway may go on writing.

    ``expected`` is a sequence and hash that were kept elsewhere. Raises OSError.
    """
    stands = files.standing(folder, keys)
    look = _Look(folder, keys, stands, expected, progress)
    names = [name for name in stands.sizes if name[:10] >= since[:10]]
    look.partial = len(names) < len(stands.sizes)
    for name in names:
        look.file(name)
    look.end()
    return look.verdict


class _Look:
    """One pass over the files, oldest first."""

    def __init__(
        self,
        folder: Path,
        keys: Keys,
        stands: files.Standing,
        expected: tuple[int, str] | None,
        progress: Progress | None,
    ) -> None:
        self.verdict = Verdict()
        self.partial = False
        """Older files are left out."""
        self._folder = folder
        self._keys = keys
        self._stands = stands
        self._expected = expected
        self._progress = progress
        self._total = sum(stands.sizes.values())
        self._done = self._told = 0
        self._next = 0
        """The sequence that comes next; 0 at the beginning."""
        self._vouched: set[tuple[int, str]] = set()
        """Ends of files that were removed in order."""
        self._start: tuple[int, str, str] | None = None
        """What the first record follows, and its file."""
        self._met_head = self._met_expected = False
        self._last_file, self._last_line = "", 0

    def file(self, name: str) -> None:
        """Look at one file, as far as it reached when the look began."""
        self.verdict.files += 1
        size, number, offset = self._stands.sizes[name], 0, 0
        with (self._folder / name).open("rb") as opened:
            while offset < size:
                line = opened.readline(min(chain.LONGEST, size - offset))
                if not line:
                    self.verdict.say(name, number + 1, "the file became shorter while it was read")
                    return
                number += 1
                offset += len(line)
                if not line.endswith(b"\n"):
                    self.verdict.say(name, number, f"{len(line)} bytes are no whole record")
                    if offset < size:
                        continue
                else:
                    self._line(name, number, line[:-1], offset)
                self._progressed(len(line))
        if not number:
            self.verdict.say(name, 0, "is empty")

    def _progressed(self, count: int) -> None:
        self._done += count
        if self._progress is not None and self._done - self._told >= STEP:
            self._told = self._done
            self._progress(self._done, self._total)

    def _line(self, name: str, number: int, line: bytes, offset: int) -> None:
        verdict = self.verdict
        self._last_file, self._last_line = name, number
        link = chain.parse(line)
        if link is None:
            verdict.say(name, number, "is no record")
            return
        held = chain.holds(line, link, self._keys)
        if held is None:
            verdict.say(name, number, f"is signed with the key {link.kid}, which is not given", link.seq)
        elif not held:
            verdict.say(name, number, "was changed: its hash is not that of its bytes", link.seq)
        elif verdict.keyed and not link.kid:
            verdict.say(name, number, "is not signed, though records before it are", link.seq)
        self._order(name, number, link)
        if number == 1 or chain.is_chain(link):
            self._own(name, number, link)
        verdict.records += 1
        verdict.last, verdict.hash = link.seq, link.hash
        verdict.keyed = verdict.keyed or bool(link.kid)
        self._next = link.seq + 1
        self._meet(name, number, link, offset)

    def _order(self, name: str, number: int, link: Link) -> None:
        verdict = self.verdict
        if not self._next:
            self._start = (link.seq - 1, link.prev, name)
            verdict.first = link.seq
        elif link.seq > self._next:
            count = link.seq - self._next
            verdict.say(name, number, f"{count} record{'s are' if count > 1 else ' is'} missing before it", link.seq)
        elif link.seq < self._next:
            verdict.say(name, number, f"is out of order: record {link.seq} after {self._next - 1}", link.seq)
        elif link.prev != verdict.hash:
            verdict.say(name, number, "does not follow the record before it", link.seq)

    def _own(self, name: str, number: int, link: Link) -> None:
        """What the chain says of itself."""
        told = chain.members(link)
        action = told.get("action")
        if number == 1:
            if (told.get("kind"), action, told.get("resource")) != ("chain", "begin", name):
                self.verdict.say(name, 1, "does not begin as a file of this name does", link.seq)
            elif self.verdict.chain and told.get("chain") != self.verdict.chain:
                self.verdict.say(name, 1, "begins another chain", link.seq)
            else:
                self.verdict.chain = str(told.get("chain", ""))
        if action == "remove":
            self._vouched.add((told.get("last_seq", 0), told.get("last_hash", "")))
        elif action == "repair" and told.get("known") is False and not self._was_before(told.get("was"), link.seq):
            what = f"the head was {told.get('why')} when this was written: whether records before it were cut off"
            self.verdict.say(name, number, f"{what} cannot be told", link.seq)
        if action in ("repair", "gap", "lost") and len(self.verdict.notes) < MOST:
            kept = {key: value for key, value in told.items() if key not in ("kind", "actor", "instance")}
            self.verdict.notes.append({"file": name, "line": number, "seq": link.seq, **kept})

    def _was_before(self, was: Any, seq: int) -> bool:
        """A head that a gateway could not read was one for these keys, and nothing is missing up to there."""
        data = str(was or "").encode().ljust(chain.HEAD_SIZE - 1) + b"\n"
        head = chain.unpack_head(data, self._keys)
        return head is not None and head.chain == self.verdict.chain and head.seq < seq

    def _meet(self, name: str, number: int, link: Link, offset: int) -> None:
        head = self._stands.head
        if head is not None and link.seq == head.seq:
            self._met_head = True
            if link.hash != head.hash:
                self.verdict.say(name, number, "is not the record that the head names", link.seq)
            elif (head.file, head.size) != (name, offset):
                self.verdict.say(name, number, "does not stand where the head says", link.seq)
        if self._expected is not None and link.seq == self._expected[0]:
            self._met_expected = True
            if link.hash != self._expected[1]:
                self.verdict.say(name, number, "is not the record whose hash was expected", link.seq)

    def end(self) -> None:
        """What only the whole tells: beginning, end, head."""
        verdict, head = self.verdict, self._stands.head
        if self._start is not None and not self.partial:
            seq, before, name = self._start
            if seq and (seq, before) not in self._vouched:
                verdict.say(name, 1, f"{seq} records before it are missing, and no record says that they were removed")
            elif not seq and before != chain.ZERO:
                verdict.say(name, 1, "is the first record and follows another")
        where = (self._last_file or str(self._folder), self._last_line)
        if head is None:
            what = (
                "is missing" if not self._stands.raw else "is not what a gateway wrote, or was signed with another key"
            )
            verdict.say(files.HEAD, 0, f"{what}: whether the end of the trail was cut off cannot be told")
        else:
            self._end_of(head, where)
        if self._expected is not None and not self._met_expected and not (self.partial and self._before_start()):
            verdict.say(*where, f"the trail ends with record {verdict.last}; {self._expected[0]} was expected")
        if self._keys and verdict.records and not verdict.keyed:
            verdict.say(*where, "no record is signed, though there is a key")
        if self._progress is not None:
            self._progress(self._total, self._total)

    def _before_start(self) -> bool:
        return self._expected is not None and self._expected[0] < self.verdict.first

    def _end_of(self, head: chain.Head, where: tuple[str, int]) -> None:
        verdict = self.verdict
        if verdict.last < head.seq:
            count = head.seq - verdict.last
            verdict.say(*where, f"the trail ends with record {verdict.last}: {count} were cut off at its end")
        elif not self._met_head and not self.partial:
            verdict.say(*where, f"record {head.seq}, which the head names, is not there")
        if head.chain != verdict.chain and verdict.chain:
            verdict.say(files.HEAD, 0, "belongs to another chain")
        newest = self._keys.newest
        if newest and head.kid != newest:
            verdict.say(files.HEAD, 0, f"is signed with the key {head.kid or 'of nobody'}, and not with the newest")
