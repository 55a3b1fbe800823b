-- ARGV: now, lease (µs), then of each item: id, token. → {end of the lease, 1 or 0 of each}
local ends = now + tonumber(ARGV[2])
local held = {string.format('%.0f', ends)}
for base = 3, #ARGV, 2 do
  local id = ARGV[base]
  local state, token = unpack(call('HMGET', item_key(id), 's', 'e'))
  if state == 'l' and token == ARGV[base + 1] then
    call('ZREM', LEASES, id)  -- first what gives memory back: so it is let through when Redis is full
    call('ZADD', LEASES, ends, id)
    call('HSET', item_key(id), 'u', ends)
    held[#held + 1] = 1
  else
    held[#held + 1] = 0
  end
end
return held
