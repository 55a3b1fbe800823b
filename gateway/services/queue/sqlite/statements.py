"""Every statement of the hot path.

A call into SQLite gives up the interpreter's lock, and a busy loop may take milliseconds to give it back. So no
statement is run once an item: what a commit does goes in as one JSON array, what it must know comes back as one, and a
commit of a hundred items makes as many calls as one of two. Each plan is looked at by a test.
"""
# ruff: noqa: S608 - made of words of this package; what comes from outside is a parameter

from __future__ import annotations

from typing import Final

COLUMNS: Final = (
    "i.seq, i.topic, i.state, i.due, i.until, i.lease, i.attempts, i.round, i.replays, i.size, i.sealed, i.info, "
    "a.number, a.began, a.seconds, a.status, a.error, a.detail, a.gateway"
)
LAST: Final = "LEFT JOIN attempt a ON a.seq = i.seq AND a.number = i.attempts"


def _fields(*names: str) -> str:
    return ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(names))


TOTAL: Final = "SELECT coalesce(sum(ready + leased + dead + done), 0), coalesce(sum(size), 0) FROM tally"
LAST_SEQ: Final = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'item'), 0)"
BEFORE_PUT: Final = (
    f"SELECT ({LAST_SEQ}), t.*, (SELECT json_group_array(json_array(key, rest, seq)) FROM dedup "
    f"WHERE key IN (SELECT value FROM json_each(?1)) AND until > ?2) FROM ({TOTAL}) AS t"
)
BLOCKED: Final = (
    "SELECT json_group_array(value) FROM json_each(?1) AS j WHERE EXISTS "
    "(SELECT 1 FROM item AS i WHERE i.ord = j.value AND i.state <= 3)"
)
PUT_ITEMS: Final = (
    "INSERT INTO item (seq, topic, state, due, until, attempts, size, sealed, ord, subject, info, lease, round, "
    "replays) SELECT "
    + _fields("seq", "topic", "state", "due", "until", "attempts", "size", "sealed", "ord", "subject", "info")
    + ", 0, 0, 0 FROM json_each(?1)"
)
PUT_PAYLOADS: Final = (
    "INSERT INTO payload SELECT json_extract(value, '$[0]'), "
    "coalesce(substr(?2, json_extract(value, '$[1]'), json_extract(value, '$[2]')), x'') FROM json_each(?1)"
)
PUT_DEDUP: Final = f"INSERT OR REPLACE INTO dedup SELECT {_fields('key', 'rest', 'seq', 'until')} FROM json_each(?1)"
PUT_ATTEMPTS: Final = (
    "INSERT OR REPLACE INTO attempt SELECT "
    + _fields("seq", "number", "began", "seconds", "status", "error", "detail", "gateway")
    + " FROM json_each(?1)"
)
CUT_ATTEMPTS: Final = (
    f"DELETE FROM attempt WHERE (seq, number) IN (SELECT {_fields('seq', 'number')} FROM json_each(?1))"
)
ADD_TALLY: Final = (
    "INSERT INTO tally SELECT "
    + _fields("topic", "ready", "leased", "dead", "done", "size", "replays")
    + " FROM json_each(?1) WHERE true ON CONFLICT (topic) DO UPDATE SET ready = ready + excluded.ready, "
    "leased = leased + excluded.leased, dead = dead + excluded.dead, done = done + excluded.done, "
    "size = size + excluded.size, replays = replays + excluded.replays"
)

TAKE: Final = (
    f"SELECT json_group_array(json_array({COLUMNS})) FROM ("
    "SELECT * FROM (SELECT * FROM item WHERE topic = ?1 AND state = 1 AND until <= ?2 ORDER BY until, seq LIMIT ?3) "
    "UNION ALL "
    "SELECT * FROM (SELECT * FROM item WHERE topic = ?1 AND state = 0 AND due <= ?2 ORDER BY due, seq LIMIT ?3)"
    f") AS i {LAST}"
)
LEASE: Final = "UPDATE item SET state = 1, until = ?2, lease = lease + 1 WHERE seq IN (SELECT value FROM json_each(?1))"
HELD: Final = (
    "SELECT json_group_array(json_array(seq, topic, lease, due, attempts, round, size, ord)) FROM item "
    "WHERE seq IN (SELECT value FROM json_each(?1)) AND +state = 1"
)
RENEW: Final = "UPDATE item SET until = ?2 WHERE seq IN (SELECT value FROM json_each(?1))"
SETTLE: Final = (
    "UPDATE item SET state = j.state, due = j.due, until = j.until, attempts = j.attempts, round = j.round "
    "FROM (SELECT "
    + _fields("seq", "state", "due", "until", "attempts", "round")
    + " FROM json_each(?1)) AS j WHERE item.seq = j.seq"
)
DELETE_ITEMS: Final = "DELETE FROM item WHERE seq IN (SELECT value FROM json_each(?1))"
DELETE_PAYLOADS: Final = "DELETE FROM payload WHERE seq IN (SELECT value FROM json_each(?1))"
DELETE_ATTEMPTS: Final = "DELETE FROM attempt WHERE seq IN (SELECT value FROM json_each(?1))"
PROMOTE: Final = (
    "UPDATE item SET state = 0 WHERE seq IN (SELECT ("
    "SELECT w.seq FROM item AS w WHERE w.ord = j.value AND w.state = 2 "
    "ORDER BY w.seq LIMIT 1) FROM json_each(?1) AS j WHERE NOT EXISTS ("
    "SELECT 1 FROM item AS b WHERE b.ord = j.value AND b.state IN (0, 1, 3)))"
)
DEMOTE: Final = (
    "UPDATE item SET state = 2 WHERE seq IN (SELECT b.seq FROM json_each(?1) AS j JOIN item AS b "
    "ON b.ord = j.value AND b.state = 0)"
)
REPLAY: Final = (
    "UPDATE item SET state = j.state, due = j.due, until = 0, round = 0, replays = replays + 1 FROM (SELECT "
    + _fields("seq", "state", "due")
    + " FROM json_each(?1)) AS j WHERE item.seq = j.seq"
)
NEXT: Final = (
    "SELECT min(moment) FROM (SELECT min(due) AS moment FROM item WHERE topic = ?1 AND state = 0 "
    "UNION ALL SELECT min(until) FROM item WHERE topic = ?1 AND state = 1)"
)

PAYLOADS: Final = (
    "SELECT p.seq, p.body, i.sealed FROM payload AS p JOIN item AS i ON i.seq = p.seq "
    "WHERE p.seq IN (SELECT value FROM json_each(?1))"
)
ONE: Final = f"SELECT {COLUMNS} FROM item AS i {LAST} WHERE i.seq = ?1"
ATTEMPTS: Final = (
    "SELECT number, began, seconds, status, error, detail, gateway FROM attempt WHERE seq = ?1 ORDER BY number"
)
KEPT: Final = "SELECT value, sealed FROM kept WHERE name = ?1 AND until > ?2"
TALLY: Final = (
    "SELECT t.topic, n.name, t.ready, t.leased, t.dead, t.done, t.size, t.replays "
    "FROM tally AS t JOIN topic AS n ON n.id = t.topic ORDER BY n.name"
)
OLDEST: Final = "SELECT seq FROM item WHERE seq >= ?1 AND +topic = ?2 AND +state <= 2 ORDER BY seq LIMIT 1"
HOT: Final = (
    TOTAL, LAST_SEQ, BEFORE_PUT, BLOCKED, PUT_ITEMS, PUT_PAYLOADS, PUT_DEDUP, PUT_ATTEMPTS, CUT_ATTEMPTS, ADD_TALLY,
    TAKE, LEASE, HELD, RENEW, SETTLE, DELETE_ITEMS, DELETE_PAYLOADS, DELETE_ATTEMPTS, PROMOTE, DEMOTE, REPLAY, NEXT,
    PAYLOADS, ONE, ATTEMPTS, KEPT, TALLY,
)  # fmt: skip
