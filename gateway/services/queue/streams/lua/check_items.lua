-- ARGV: now, index (v x f), after which id, how many. → {last id or '', bytes, problems as id, what …}: each item is looked at
-- together with all places where it should stand, so that work under way is no problem.
local _, index, after, limit = unpack(ARGV)
local ids = call('ZRANGEBYLEX', tag .. ':' .. index, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, limit)
local bytes, problems = 0, {}
local function wrong(id, what)
  problems[#problems + 1] = id
  problems[#problems + 1] = what
end
local indexes = {r = 'v', w = 'v', l = 'v', x = 'x', f = 'f'}
for _, id in ipairs(ids) do
  local state, size, order, subject, entry = unpack(call('HMGET', item_key(id), 's', 'z', 'o', 'j', 'k'))
  if not state then
    wrong(id, 'is listed, but is not there')
  else
    bytes = bytes + tonumber(size)
    local turn = order and call('HGET', TURNS, order)
    if call('EXISTS', tag .. ':b:' .. id) == 0 then wrong(id, 'has no payload') end
    if indexes[state] ~= index then wrong(id, 'is listed as what it is not') end
    if subject and call('SISMEMBER', tag .. ':j:' .. subject, id) == 0 then wrong(id, 'is not found by its subject') end
    if (state == 'r' or state == 'l') and order and turn ~= id then wrong(id, 'has no turn in its order') end
    if state == 'l' and not call('ZSCORE', LEASES, id) then wrong(id, 'is leased for ever') end
    if state == 'w' and not call('ZSCORE', tag .. ':w:' .. order, id) then wrong(id, 'waits in no order') end
    if state == 'w' and not turn then wrong(id, 'waits for nobody') end
    if state == 'r' and not (entry and #call('XRANGE', STREAM, entry, entry) > 0) and not call('ZSCORE', LATER, id) then
      wrong(id, 'is ready, but nobody will be handed it')
    end
    if state == 'x' and not call('ZSCORE', DIED, id) then wrong(id, 'is dead, but will never be swept') end
    if state == 'f' and not call('ZSCORE', ENDS, id) then wrong(id, 'is done, but will never be swept') end
  end
end
return {ids[#ids] or '', string.format('%.0f', bytes), problems}
