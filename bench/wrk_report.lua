-- One JSON line at the end, for bench/load.py. Arguments: the size of the body to POST (0: GET), and a file of tokens, one
-- a line, of which each request has the next as its bearer token. The requests are made beforehand.
function init(args)
  local size = tonumber(args[1] or "0")
  if size > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", size)
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
  if args[2] then
    local made, at = {}, 0
    for token in io.lines(args[2]) do
      wrk.headers["Authorization"] = "Bearer " .. token
      made[#made + 1] = wrk.format()
    end
    request = function()
      at = at % #made + 1
      return made[at]
    end
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'BENCH {"requests":%d,"us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50":%d,"p99":%d,"max":%d}\n',
    summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
