-- Before every script of the queue. KEYS[1] is a topic's tag, `sg:{q/<digest>}`; every key below begins with it, so all of
-- a topic lies in one slot. `now` is µs since the epoch by Redis' clock, or what ARGV[1] says (tests).
--
--   :m        hash    topic (its name), version (of this layout), last (stamp of the newest id, µs), z (bytes of all payloads)
--   :i:<id>   hash    an item, small fields only so that Redis packs it:
--                     a accepted, d due (µs) · s state: r ready, w waiting, l leased, x dead, f done · n attempts, r round,
--                     x replays · z bytes of payload, g bytes of head · o order, j subject (digests) · k entry of the stream ·
--                     e token, u end (µs) of the lease · c status, f error of the last attempt
--   :b:<id>   string  head (JSON: labels, order, whether sealed), then the payload
--   :t:<id>   list    attempts (JSON), oldest first, at most 100
--   :s        stream  what is due or handed out; group `workers`; an entry is deleted when its item is settled
--   :d        zset    ready, but due later: by due
--   :l        zset    handed out: by end of the lease
--   :v :x :f  zset    live (ready, waiting, leased), dead, done items in the order of their ids; an item is in exactly one
--   :r        zset    dead: by when they died       :e  zset  done: by when they go
--   :o        hash    order → the item whose turn it is    :w:<order>  zset  those behind it, by id
--   :k:<digest>  string  dedup: "<end µs>|<id>"            :j:<digest>  set  items that hold a subject's data
local tag = KEYS[1]
if ARGV[1] ~= '' then now = tonumber(ARGV[1]) end
local call = redis.call
local META, STREAM, LATER, LEASES = tag .. ':m', tag .. ':s', tag .. ':d', tag .. ':l'
local LIVE, DEAD, DONE, DIED, ENDS, TURNS = tag .. ':v', tag .. ':x', tag .. ':f', tag .. ':r', tag .. ':e', tag .. ':o'
local GROUP = 'workers'

local function item_key(id) return tag .. ':i:' .. id end

-- Put it in the stream: it is due.
local function enqueue(id)
  call('HSET', item_key(id), 's', 'r', 'k', call('XADD', STREAM, '*', 'i', id))
end

-- What fell due goes into the stream, before anything that falls due after it.
local function promote(most)
  for _, id in ipairs(call('ZRANGEBYSCORE', LATER, '-inf', now, 'LIMIT', 0, most)) do
    call('ZREM', LATER, id)
    enqueue(id)
  end
end

-- To be handed out when it is due.
local function offer(id, due)
  if due > now then
    call('HSET', item_key(id), 's', 'r')
    call('HDEL', item_key(id), 'k')
    call('ZADD', LATER, due, id)
  else
    promote(64)
    enqueue(id)
  end
end

-- The next one of this order has its turn.
local function release(order)
  local waiting = tag .. ':w:' .. order
  while true do
    local id = call('ZRANGE', waiting, 0, 0)[1]
    if not id then
      call('HDEL', TURNS, order)
      return
    end
    call('ZREM', waiting, id)
    local due = call('HGET', item_key(id), 'd')
    if due then
      call('HSET', TURNS, order, id)
      offer(id, tonumber(due))
      return
    end
  end
end

-- Its turn ends, if it is its turn.
local function pass(id, order)
  if order and call('HGET', TURNS, order) == id then release(order) end
end

-- It becomes live: at once or when it is due, or behind others of its order.
local function admit(id, due, order)
  call('ZADD', LIVE, 0, id)
  if order then
    local turn = call('HGET', TURNS, order)
    if turn and turn ~= id then
      call('HSET', item_key(id), 's', 'w')
      call('ZADD', tag .. ':w:' .. order, 0, id)
      return
    end
    call('HSET', TURNS, order, id)
  end
  offer(id, due)
end

-- Out of the stream, whoever holds it.
local function withdraw(id, entry)
  if entry then
    call('XACK', STREAM, GROUP, entry)
    call('XDEL', STREAM, entry)
  end
  call('HDEL', item_key(id), 'e', 'u', 'k')
end

-- Delete it with all that belongs to it. Whether it was there.
local function remove(id)
  local size, order, subject, entry = unpack(call('HMGET', item_key(id), 'z', 'o', 'j', 'k'))
  if not size then return false end
  withdraw(id, entry)
  for _, index in ipairs({LIVE, DEAD, DONE, DIED, ENDS, LATER, LEASES}) do call('ZREM', index, id) end
  call('UNLINK', item_key(id), tag .. ':b:' .. id, tag .. ':t:' .. id)
  call('HINCRBY', META, 'z', '-' .. size)
  if subject then call('SREM', tag .. ':j:' .. subject, id) end
  if order then
    call('ZREM', tag .. ':w:' .. order, id)
    pass(id, order)
  end
  return true
end

-- An attempt was made at it.
local function note_attempt(id, attempt, status, code)
  call('RPUSH', tag .. ':t:' .. id, attempt)
  call('LTRIM', tag .. ':t:' .. id, -100, -1)
  call('HSET', item_key(id), 'c', status, 'f', code)
end

-- What `rows.py` reads: fields, head or head and payload, last attempt. False if there is no such item.
local function row(id, whole)
  local fields = call('HMGET', item_key(id), 'a', 'd', 's', 'n', 'r', 'x', 'z', 'g', 'e', 'u')
  if not fields[1] then return false end
  if fields[3] == 'l' and tonumber(fields[10]) <= now then fields[3] = 'r' end  -- its lease ran out
  local body
  if whole then body = call('GET', tag .. ':b:' .. id) else body = call('GETRANGE', tag .. ':b:' .. id, 0, fields[8] - 1) end
  local last = fields[4] ~= '0' and call('LINDEX', tag .. ':t:' .. id, -1)
  return {id, body or '', last or '', unpack(fields)}
end

