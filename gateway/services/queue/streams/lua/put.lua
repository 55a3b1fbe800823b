-- ARGV: now, most items, most bytes (here), state, due, body, bytes of head, bytes of payload, order, subject, dedup,
-- window (µs), attempt, its number, status, error. → {what became of it, id, items, bytes}
local _, items_limit, size_limit, state, due, body, head, size, order, subject, dedup, window =
  unpack(ARGV, 1, 12)
if call('EXISTS', META) == 0 then return {'unknown'} end
if dedup ~= '' then
  local known = call('GET', tag .. ':k:' .. dedup)
  if known then
    local ends, id = string.match(known, '^(%d+)|(.+)$')
    if tonumber(ends) > now then return {'duplicate', id} end
  end
end
local items = call('ZCARD', LIVE) + call('ZCARD', DEAD) + call('ZCARD', DONE)
local held = call('HMGET', META, 'last', 'z')
local total = tonumber(held[2]) + tonumber(size)
if items + 1 > tonumber(items_limit) or total > tonumber(size_limit) then return {'full', '', items, held[2]} end

-- Ids grow in the order of puts, even if the clock stands or is set back.
local stamp = math.max(now, tonumber(held[1]) + 1)
local id = string.format('%014x', stamp) .. string.sub(tag, 7, -2)
due = math.max(tonumber(due), now)
-- The first write is one that Redis refuses when its memory is full; after it, it refuses none of this script.
call('SET', tag .. ':b:' .. id, body)
call('HSET', item_key(id), 'a', now, 'd', due, 's', state, 'n', 0, 'r', 0, 'x', 0, 'z', size, 'g', head)
call('HSET', META, 'last', stamp, 'z', total)
if order ~= '' then call('HSET', item_key(id), 'o', order) else order = false end
if subject ~= '' then
  call('HSET', item_key(id), 'j', subject)
  call('SADD', tag .. ':j:' .. subject, id)
end
if dedup ~= '' then
  local ends = string.format('%.0f', now + tonumber(window))
  call('SET', tag .. ':k:' .. dedup, ends .. '|' .. id, 'PX', math.ceil(tonumber(window) / 1000))
end
if ARGV[13] ~= '' then
  note_attempt(id, ARGV[13], ARGV[15], ARGV[16])
  call('HSET', item_key(id), 'n', ARGV[14], 'r', ARGV[14])
end
if state == 'x' then
  call('ZADD', DEAD, 0, id)
  call('ZADD', DIED, now, id)
else
  admit(id, due, order)
end
return {'kept', id, items + 1, string.format('%.0f', total)}
