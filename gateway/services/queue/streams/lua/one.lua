-- ARGV: now, id. → its row with the payload, or nil
return row(ARGV[2], true)
