-- ARGV: now, id. → its attempts (JSON), oldest first
return call('LRANGE', tag .. ':t:' .. ARGV[2], 0, -1)
