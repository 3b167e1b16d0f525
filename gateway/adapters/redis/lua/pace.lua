-- Prelude of the scripts on budgets: the clock, and the gate that a 429 closes.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

local function now()
  local time = redis.call('TIME')
  return time, time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

-- nil while it is open. `probe` is the stamp of the call whose answer is awaited, 0 for none.
local function read_gate(key)
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local closed_until, probe, refusals = string.match(raw, '^(%d+) (%d+) (%d+)$')
  if not closed_until then return nil end
  return {
    closed_until = tonumber(closed_until), probe = tonumber(probe), refusals = tonumber(refusals),
  }
end

local function write_gate(key, gate, keep)
  local raw = table.concat({ text(gate.closed_until), text(gate.probe), gate.refusals }, ' ')
  redis.call('SET', key, raw, 'PX', keep)
end
