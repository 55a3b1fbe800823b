-- KEYS[1]: the value's key. ARGV: now. → 1 if there was one
return call('UNLINK', tag)
