-- Prelude of the scripts on budgets: the clock, and the gate that a 429 closes.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

local function now()
  local time = redis.call('TIME')
  return time, time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

-- Seconds in which each gate reopens, with room for a clock that was set back: one that stays
-- closed for longer was not closed by us, or not by this clock.
local LONGEST = 2 * 60 * 60

-- Room for what is of this type: an error would last as long as what stands there.
local function make_room(key, kind)
  if redis.call('TYPE', key).ok ~= kind then redis.call('DEL', key) end
end

-- nil while it is open. `probe` is the stamp of the call whose answer is awaited, 0 for none.
local function read_gate(key, at)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' then return nil end
  local closed_until, probe, refusals = string.match(raw, '^(%d+) (%d+) (%d+)$')
  if not closed_until or tonumber(closed_until) > at + LONGEST * 1000000 then return nil end
  return {
    closed_until = tonumber(closed_until), probe = tonumber(probe), refusals = tonumber(refusals),
  }
end

local function write_gate(key, gate, keep)
  local raw = table.concat({ text(gate.closed_until), text(gate.probe), gate.refusals }, ' ')
  redis.call('SET', key, raw, 'PX', keep)
end
