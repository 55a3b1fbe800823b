-- ARGV: now, then of each: kind (d done, l later, b buried, h buried and held, r returned), id, token, when (µs: due; of what
-- is done how long it is kept), attempt, status, error. → 1 or 0 of each: whether the lease was still held
local results = {}
for base = 2, #ARGV, 7 do
  local kind, id, token, moment, attempt, status, code = unpack(ARGV, base, base + 6)
  local state, held, order, entry = unpack(call('HMGET', item_key(id), 's', 'e', 'o', 'k'))
  if state ~= 'l' or held ~= token then
    results[#results + 1] = 0
  else
    moment = tonumber(moment)
    -- First what gives memory back: so Redis lets settlements through when it is full.
    call('ZREM', LEASES, id)
    withdraw(id, entry)
    if attempt ~= '' then
      note_attempt(id, attempt, status, code)
      call('HINCRBY', item_key(id), 'n', 1)
      call('HINCRBY', item_key(id), 'r', 1)
    end
    if kind == 'd' and moment <= 0 then
      remove(id)
    elseif kind == 'l' or kind == 'r' then
      local due = math.max(moment, now)
      call('HSET', item_key(id), 'd', due)
      offer(id, due)
    else
      call('ZREM', LIVE, id)
      if kind == 'd' then
        call('HSET', item_key(id), 's', 'f')
        call('ZADD', DONE, 0, id)
        call('ZADD', ENDS, now + moment, id)
      else
        call('HSET', item_key(id), 's', 'x')
        call('ZADD', DEAD, 0, id)
        call('ZADD', DIED, now, id)
      end
      if kind ~= 'h' then pass(id, order) end
    end
    results[#results + 1] = 1
  end
end
return results
