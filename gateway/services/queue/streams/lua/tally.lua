-- ARGV: now. → {live, leased, dead, done, bytes, when the oldest live one was accepted (µs) or ''}
if call('EXISTS', META) == 0 then return {0, 0, 0, 0, '0', ''} end
local first = call('ZRANGE', LIVE, 0, 0)[1]
local leased = call('ZCOUNT', LEASES, '(' .. string.format('%.0f', now), '+inf')
local oldest = first and call('HGET', item_key(first), 'a')
return {call('ZCARD', LIVE), leased, call('ZCARD', DEAD), call('ZCARD', DONE), call('HGET', META, 'z'), oldest or ''}
