-- ARGV: now, place (stream, later, leases, turns), where to go on, how many. → {where to go on or '', problems as id, what …}:
-- what stands in a place must be an item that belongs there.
local _, place, from, limit = unpack(ARGV)
local problems, on = {}, ''
local function wrong(id, what)
  problems[#problems + 1] = id
  problems[#problems + 1] = what
end
if place == 'stream' then
  for _, entry in ipairs(call('XRANGE', STREAM, from == '' and '-' or '(' .. from, '+', 'COUNT', limit)) do
    local id = entry[2][2]
    if call('HGET', item_key(id), 'k') ~= entry[1] then wrong(id, 'stands in the stream without being due') end
    on = entry[1]
  end
elseif place == 'turns' then
  local reply = call('HSCAN', TURNS, from == '' and '0' or from, 'COUNT', limit)
  on = reply[1] == '0' and '' or reply[1]
  for position = 2, #reply[2], 2 do
    local id = reply[2][position]
    local own = call('HGET', item_key(id), 'o')
    if own ~= reply[2][position - 1] then wrong(id, 'has a turn, but is not there: its order stands still') end
  end
else
  local key, states = LATER, 'r'
  if place == 'leases' then key, states = LEASES, 'l' end
  local reply = call('ZSCAN', key, from == '' and '0' or from, 'COUNT', limit)
  on = reply[1] == '0' and '' or reply[1]
  for position = 1, #reply[2], 2 do
    local id = reply[2][position]
    if call('HGET', item_key(id), 's') ~= states then wrong(id, 'stands among the ' .. place .. ' without being so') end
  end
end
return {on, problems}
