"""What is kept of a key, and the atomic steps it goes through.

A value is one letter for its state, the 16 bytes of who holds it, the 20 bytes of the request's fingerprint and what
the state has to say:

    p  in flight      when the lease ends, µs since the epoch as text
    d  done           the answer (sealed if there is a secret)
    x  done, too large to keep      the answer's status
    u  the target may have acted, and nobody knows      nothing

The steps (``begin`` takes a free key, the others speak for the holder only):

    absent  --begin--> p      p --end--> d | x | u      p --free--> absent
    p, lease over --begin--> p of another; or u, where a crash counts as unknown
    u, same request --begin, where it may be sent again--> p of another
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gateway.http import Body, Response
from gateway.services.seal import Broken, Seal
from gateway.services.store import Script, Table
from gateway.services.store.wire import Arg

IN_FLIGHT: Final = b"p"
DONE: Final = b"d"
UNKEPT: Final = b"x"
UNKNOWN: Final = b"u"
TOKEN: Final = 16
FINGERPRINT: Final = 20
_HEAD: Final = 1 + TOKEN + FINGERPRINT
_PURPOSE: Final = b"idempotency answer"


class Kept(NamedTuple):
    """A value, taken apart."""

    state: bytes
    fingerprint: bytes
    rest: bytes


def split(value: bytes) -> Kept:
    """The parts of a value that was found."""
    return Kept(value[:1], value[1 + TOKEN : _HEAD], value[_HEAD:])


class Answer(msgspec.Struct, array_like=True):
    """An answer as it is kept."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> Response:
        """As it was, and marked (ietf-wg-httpapi/idempotency#46 asks for such a mark; Stripe's name for it)."""
        return Response(self.status, fields=(*self.fields, (b"Idempotent-Replayed", b"true")), body=Body(self.body))


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Answer).decode


def pack_answer(answer: Answer, seal: Seal | None) -> bytes:
    """What is kept of it."""
    plain = _encode(answer)
    return plain if seal is None else seal.seal(plain, _PURPOSE)


def unpack_answer(data: bytes, seal: Seal | None) -> Answer | None:
    """The reverse; None if it cannot be read: sealed with a secret that is gone, or never sealed."""
    try:
        return _decode(data if seal is None else seal.open(data, _PURPOSE))
    except (Broken, msgspec.DecodeError):
        return None


def _begin(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> bytes:
    token, mark, lease, ttl, lapse, again = args
    key = keys[0]
    held: bytes | None = table.get(key)
    if held is not None:
        state = held[:1]
        if state == IN_FLIGHT and now >= int(held[_HEAD:]):
            if lapse:
                held = UNKNOWN + held[1:_HEAD]
                table.put(key, held, table.expires(key))
                state = UNKNOWN
            else:
                held = None
        if held is not None and not (state == UNKNOWN and again and held[1 + TOKEN : _HEAD] == mark):
            return held
    table.put(key, IN_FLIGHT + token + mark + b"%d" % (now + lease), now + (ttl if lapse else lease))
    return b""


BEGIN: Final = Script(
    "idempotency_begin",
    lua="""
local held = redis.call('GET', KEYS[1])
if held then
  local state = string.sub(held, 1, 1)
  if state == 'p' and now >= tonumber(string.sub(held, 38)) then
    if ARGV[5] == '1' then
      held = 'u' .. string.sub(held, 2, 37)
      local left = redis.call('PTTL', KEYS[1])
      redis.call('SET', KEYS[1], held, 'PX', math.max(left, 1))
      state = 'u'
    else
      held = false
    end
  end
  if held and not (state == 'u' and ARGV[6] == '1' and string.sub(held, 18, 37) == ARGV[2]) then
    return held
  end
end
local stays = ARGV[5] == '1' and ARGV[4] or ARGV[3]
redis.call('SET', KEYS[1], 'p' .. ARGV[1] .. ARGV[2] .. string.format('%.0f', now + ARGV[3]),
  'PX', math.ceil(stays / 1000))
return ''
""",
    local=_begin,
)
"""KEYS: the key. ARGV: token, fingerprint, lease and time to live in µs, whether a lease that ended leaves `UNKNOWN`
behind, whether what is unknown may be begun again by the same request. → what is held by another, or nothing: ours.
"""


def _end(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> int:
    token, value, ttl = args
    held = table.get(keys[0])
    if held is not None and held[1 : 1 + TOKEN] != token:
        return 0
    table.put(keys[0], value, now + ttl)
    return 1


END: Final = Script(
    "idempotency_end",
    lua="""
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 2, 17) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', math.ceil(ARGV[3] / 1000))
return 1
""",
    local=_end,
)
"""KEYS: the key. ARGV: token, the whole value, time to live in µs. → 1; 0 if it is another's by now.

A key that is gone is written too: the store lost it, and what is known of it must not be lost with it.
"""


def _free(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> int:  # noqa: ARG001 - one shape
    held = table.get(keys[0])
    return int(held is not None and held[1 : 1 + TOKEN] == args[0] and table.drop(keys[0]))


FREE: Final = Script(
    "idempotency_free",
    lua="""
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 2, 17) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""",
    local=_free,
)
"""KEYS: the key. ARGV: token. → 1 if it was ours."""


def _renew(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> int:
    token, mark, lease, ttl, lapse = args
    held = table.get(keys[0])
    if held is not None and held[: 1 + TOKEN] != IN_FLIGHT + token:
        return 0
    table.put(keys[0], IN_FLIGHT + token + mark + b"%d" % (now + lease), now + (ttl if lapse else lease))
    return 1


RENEW: Final = Script(
    "idempotency_renew",
    lua="""
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 17) ~= 'p' .. ARGV[1] then return 0 end
local stays = ARGV[5] == '1' and ARGV[4] or ARGV[3]
redis.call('SET', KEYS[1], 'p' .. ARGV[1] .. ARGV[2] .. string.format('%.0f', now + ARGV[3]),
  'PX', math.ceil(stays / 1000))
return 1
""",
    local=_renew,
)
"""KEYS: the key. ARGV: as for `BEGIN`, without the last. → 1; 0 if it is another's by now."""

Args = tuple[Arg, ...]
