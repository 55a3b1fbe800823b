-- ARGV: now, then of each: id, and the state, attempts and replays that were seen: who changed since is left alone, as is who
-- is leased. → how many were deleted
local purged = 0
for base = 2, #ARGV, 4 do
  local id = ARGV[base]
  local state, attempts, replays, ends = unpack(call('HMGET', item_key(id), 's', 'n', 'x', 'u'))
  -- One that waits may have its turn by now, because the one before it was deleted just so.
  if state == 'w' or state == 'l' and tonumber(ends) <= now then state = 'r' end
  if state and state ~= 'l' and state == ARGV[base + 1] and attempts == ARGV[base + 2] and replays == ARGV[base + 3] then
    if remove(id) then purged = purged + 1 end
  end
end
return purged
