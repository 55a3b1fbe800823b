-- ARGV: now, retention (µs), how many. → how many have had their time and were deleted
local swept = 0
for _, pair in ipairs({{DIED, now - tonumber(ARGV[2])}, {ENDS, now}}) do
  for _, id in ipairs(call('ZRANGEBYSCORE', pair[1], '-inf', pair[2], 'LIMIT', 0, ARGV[3])) do
    if not remove(id) then call('ZREM', pair[1], id) end
    swept = swept + 1
  end
end
return swept
