-- ARGV: now, then of each: id, in how many µs it is due. → how many were dead or done and are live again
local replayed = 0
for base = 2, #ARGV, 2 do
  local id, due = ARGV[base], now + tonumber(ARGV[base + 1])
  local state, order = unpack(call('HMGET', item_key(id), 's', 'o'))
  if state == 'x' or state == 'f' then
    for _, index in ipairs({DEAD, DONE, DIED, ENDS}) do call('ZREM', index, id) end
    call('HSET', item_key(id), 'd', due, 'r', 0)
    call('HINCRBY', item_key(id), 'x', 1)
    admit(id, due, order)
    replayed = replayed + 1
  end
end
return replayed
