-- KEYS[1]: the value's key. ARGV: now, subject (digest). Delete it if it holds that subject's data. → 1 if it did
local value = call('GET', tag)
if not value then return 0 end
local ends, subject = string.match(value, '^(%d+)|(%x*)|')
if subject ~= ARGV[2] then return 0 end
call('UNLINK', tag)
return tonumber(ends) > now and 1 or 0
