-- KEYS[1]: the value's key. ARGV: now. → the value, or nil if there is none or its time is over
local value = call('GET', tag)
if not value then return false end
local ends, rest = string.match(value, '^(%d+)|%x*|()')
if tonumber(ends) <= now then return false end
return string.sub(value, rest)
