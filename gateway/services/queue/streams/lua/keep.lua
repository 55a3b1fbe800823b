-- KEYS[1]: the value's key. ARGV: now, time to live (µs), subject (digest), value. → when it ends (µs)
local ends = string.format('%.0f', now + tonumber(ARGV[2]))
call('SET', tag, ends .. '|' .. ARGV[3] .. '|' .. ARGV[4], 'PX', math.ceil(tonumber(ARGV[2]) / 1000))
return ends
