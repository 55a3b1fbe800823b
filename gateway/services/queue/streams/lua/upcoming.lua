-- ARGV: now. → {µs until something may be taken or '' if nothing is known to come, id of the stream's newest entry}
local function named(list, name)
  for position = 1, #list, 2 do
    if list[position] == name then return list[position + 1] end
  end
end
local info = redis.pcall('XINFO', 'STREAM', STREAM)
if info.err then return {'', '0-0'} end
local newest = named(info, 'last-generated-id')
for _, group in ipairs(call('XINFO', 'GROUPS', STREAM)) do
  if named(group, 'name') == GROUP then
    local delivered = named(group, 'last-delivered-id')
    if #call('XRANGE', STREAM, '(' .. delivered, '+', 'COUNT', 1) > 0 then return {'0', newest} end
  end
end
local soonest
for _, index in ipairs({LATER, LEASES}) do
  local moment = tonumber(call('ZRANGE', index, 0, 0, 'WITHSCORES')[2])
  if moment and (not soonest or moment < soonest) then soonest = moment end
end
return {soonest and string.format('%.0f', math.max(soonest - now, 0)) or '', newest}
