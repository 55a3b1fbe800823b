-- ARGV: now, retention (µs), how many, for how long a replica has not asked that is gone (ms). → how many have had their time and were deleted
local swept = 0
for _, pair in ipairs({{DIED, now - tonumber(ARGV[2])}, {ENDS, now}}) do
  for _, id in ipairs(call('ZRANGEBYSCORE', pair[1], '-inf', pair[2], 'LIMIT', 0, ARGV[3])) do
    if not remove(id) then call('ZREM', pair[1], id) end
    swept = swept + 1
  end
end
-- Replicas that are gone: nothing is in their hands, and they have not asked for long.
local consumers = redis.pcall('XINFO', 'CONSUMERS', STREAM, GROUP)
for _, consumer in ipairs(consumers.err and {} or consumers) do
  local about = {}
  for position = 1, #consumer, 2 do about[consumer[position]] = consumer[position + 1] end
  if about.pending == 0 and about.idle >= tonumber(ARGV[4]) then call('XGROUP', 'DELCONSUMER', STREAM, GROUP, about.name) end
end
return swept
