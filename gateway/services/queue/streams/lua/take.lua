-- ARGV: now, how many, lease (µs), token, consumer. → rows
local _, limit, lease, token, consumer = unpack(ARGV)
limit = tonumber(limit)
local ends = now + tonumber(lease)
local taken = {}

local bytes = 0

local function hand_out(id)
  call('HSET', item_key(id), 's', 'l', 'e', token, 'u', ends)
  call('ZADD', LEASES, ends, id)
  local item = row(id, true)
  bytes = bytes + #item[2]
  taken[#taken + 1] = item
end

-- Few large items are as much work as many small ones: how many more to hand out, begun small since their sizes show
-- only as they are read.
local function wanted() return bytes < 4194304 and math.min(limit - #taken, math.max(#taken, 1), 16) or 0 end

-- Those whose lease ran out, from whoever had them.
for _, id in ipairs(call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, limit)) do
  if wanted() == 0 then break end
  local state, entry = unpack(call('HMGET', item_key(id), 's', 'k'))
  if state == 'l' then
    if entry then call('XCLAIM', STREAM, GROUP, consumer, 0, entry, 'FORCE', 'JUSTID') end
    hand_out(id)
  else
    call('ZREM', LEASES, id)
  end
end

promote(limit + 64)
local function read(count)
  return redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', STREAM, '>')
end
for _ = 1, 50 do
  local count = wanted()
  if count == 0 then break end
  local reply = read(count)
  if reply and reply.err then
    if not string.find(reply.err, 'NOGROUP', 1, true) then return reply end
    call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')  -- somebody deleted it
    reply = read(count)
  end
  if not reply or reply.err then break end
  for _, entry in ipairs(reply[1][2]) do
    local id = entry[2][2]
    local state, own = unpack(call('HMGET', item_key(id), 's', 'k'))
    if state == 'r' and own == entry[1] then
      hand_out(id)
    elseif not (state == 'l' and own == entry[1]) then
      call('XACK', STREAM, GROUP, entry[1])  -- nobody's any more
      call('XDEL', STREAM, entry[1])
    end
  end
end
return taken
