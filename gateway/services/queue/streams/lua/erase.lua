-- ARGV: now, subject (digest). → {how many were deleted, whether there are more}
local key = tag .. ':j:' .. ARGV[2]
local erased = 0
for _, id in ipairs(call('SRANDMEMBER', key, 200)) do
  if remove(id) then erased = erased + 1 else call('SREM', key, id) end
end
return {erased, call('EXISTS', key)}
