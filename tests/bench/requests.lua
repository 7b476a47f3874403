-- Sends the lines of the file that BODIES names, one after another, and prints what came of it in one line.
local requests, number = {}, 0

function init()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(os.getenv("BODIES")) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  number = number % #requests + 1
  return requests[number]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local line = "RESULT %d %d %d %d %d\n"
  io.write(line:format(summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
