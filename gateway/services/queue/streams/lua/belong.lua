-- KEYS[1]: a subject's index of kept values. ARGV: now, time to live (µs), the value's name (digest).
local ends = now + tonumber(ARGV[2])
call('ZADD', tag, ends, ARGV[3])
call('ZREMRANGEBYSCORE', tag, '-inf', now)
local last = tonumber(call('ZRANGE', tag, -1, -1, 'WITHSCORES')[2])
call('PEXPIRE', tag, math.ceil((last - now) / 1000) + 60000)
return 1
