-- KEYS[1]: the index of topics. ARGV: now. → names
return call('HVALS', tag)
