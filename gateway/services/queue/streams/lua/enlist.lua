-- KEYS[1]: the index of topics. ARGV: now, digest, name.
return call('HSET', tag, ARGV[2], ARGV[3])
