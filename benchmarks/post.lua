-- For wrk: POSTs the lines of a file one after another, and at the end writes what was measured as JSON.
local requests, turn = {}, 0

function init(arguments)
  local headers = { ["content-type"] = "application/json" }
  if arguments[2] then headers["authorization"] = "Bearer " .. arguments[2] end
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, line)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.stdout:write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "bytes": %d, "failed": %d, "refused": %d, "p50": %.3f, "p99": %.3f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, failed, summary.errors.status,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
