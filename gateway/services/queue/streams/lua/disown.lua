-- KEYS[1]: a subject's index of kept values. ARGV: now, names (digests) that are gone.
for position = 2, #ARGV do call('ZREM', tag, ARGV[position]) end
return 1
