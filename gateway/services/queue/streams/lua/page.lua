-- ARGV: now, indexes (letters of v x f), lower and upper bound (of ids, as ZRANGEBYLEX takes them), how many. → rows by id
local _, indexes, lowest, highest, limit = unpack(ARGV)
local ids = {}
for index in string.gmatch(indexes, '.') do
  for _, id in ipairs(call('ZRANGEBYLEX', tag .. ':' .. index, lowest, highest, 'LIMIT', 0, limit)) do
    ids[#ids + 1] = id
  end
end
table.sort(ids)
local rows = {}
for position = 1, math.min(#ids, tonumber(limit)) do
  -- An index without its item is for `check` to tell; the page goes on over it.
  rows[position] = row(ids[position], false) or {ids[position]}
end
return rows
