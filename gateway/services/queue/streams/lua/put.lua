-- ARGV: now, most items, most bytes (here), lengths of words, the words: of each item 13, namely state, due, body, bytes of
-- head, bytes of payload, order, subject, dedup, window (µs), attempt, its number, status, error.
-- → {items, bytes, then of each: kept, duplicate or full, and its id}; nothing if the topic was never registered
if call('EXISTS', META) == 0 then return {} end
local items_limit, size_limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local items = call('ZCARD', LIVE) + call('ZCARD', DEAD) + call('ZCARD', DONE)
local last, total = unpack(call('HMGET', META, 'last', 'z'))
last, total = tonumber(last), tonumber(total)

local function put(state, due, body, head, size, order, subject, dedup, window, attempt, number, status, code)
  if dedup ~= '' then
    local known = call('GET', tag .. ':k:' .. dedup)
    if known then
      local ends, id = string.match(known, '^(%d+)|(.+)$')
      if tonumber(ends) > now then return 'duplicate', id end
    end
  end
  if items + 1 > items_limit or total + tonumber(size) > size_limit then return 'full', '' end
  items, total = items + 1, total + tonumber(size)
  -- Ids grow in the order of puts, even if the clock stands or is set back.
  last = math.max(now, last + 1)
  local id = string.format('%014x', last) .. string.sub(tag, 7, -2)
  due = math.max(tonumber(due), now)
  -- The first write is one that Redis refuses when its memory is full; after it, it refuses none of this script.
  call('SET', tag .. ':b:' .. id, body)
  call('HSET', META, 'last', last, 'z', total)
  local fields = {'a', now, 'd', due, 's', state, 'n', 0, 'r', 0, 'x', 0, 'z', size, 'g', head}
  if order ~= '' then
    fields[#fields + 1] = 'o'
    fields[#fields + 1] = order
  else
    order = false
  end
  if subject ~= '' then
    fields[#fields + 1] = 'j'
    fields[#fields + 1] = subject
    call('SADD', tag .. ':j:' .. subject, id)
  end
  call('HSET', item_key(id), unpack(fields))
  if dedup ~= '' then
    local ends = string.format('%.0f', now + tonumber(window))
    call('SET', tag .. ':k:' .. dedup, ends .. '|' .. id, 'PX', math.ceil(tonumber(window) / 1000))
  end
  if attempt ~= '' then
    note_attempt(id, attempt, status, code)
    call('HSET', item_key(id), 'n', number, 'r', number)
  end
  if state == 'x' then
    call('ZADD', DEAD, 0, id)
    call('ZADD', DIED, now, id)
  else
    admit(id, due, order)
  end
  return 'kept', id
end

local words, results, from = {}, {0, 0}, 1
for length in string.gmatch(ARGV[4], '%d+') do
  local to = from + tonumber(length)
  words[#words + 1] = string.sub(ARGV[5], from, to - 1)
  from = to
  if #words == 13 then
    local kind, id = put(unpack(words))
    results[#results + 1] = kind
    results[#results + 1] = id
    words = {}
  end
end
results[1], results[2] = items, string.format('%.0f', total)
return results
