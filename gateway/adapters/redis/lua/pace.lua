-- Prelude of the scripts on budgets: the clock, and the gate that a 429 closes.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

local function now()
  local time = redis.call('TIME')
  return time, time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

-- nil while it is open.
local function read_gate(key)
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local closed_until, probing, refusals = string.match(raw, '^(%d+) ([01]) (%d+)$')
  if not closed_until then return nil end
  return {
    closed_until = tonumber(closed_until), probing = probing == '1', refusals = tonumber(refusals),
  }
end

local function write_gate(key, gate, keep)
  local raw = table.concat({ text(gate.closed_until), gate.probing and 1 or 0, gate.refusals }, ' ')
  redis.call('SET', key, raw, 'PX', keep)
end
