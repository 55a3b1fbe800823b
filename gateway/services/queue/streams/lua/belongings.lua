-- KEYS[1]: a subject's index of kept values. ARGV: now. → their names (digests)
return call('ZRANGE', tag, 0, -1)
