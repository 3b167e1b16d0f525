-- Promise: a call whose turn was waited for counts from now on; where the gate was closed meanwhile it is undone, and told so, as is one that is not known any more (lost, or undone by a 429).
-- KEYS log, gate, the log of each rank; ARGV stamp of the charge.

local time, at = now()
local gate = read_gate(KEYS[2], at)
local is_closed = gate and at < gate.closed_until
local is_known = redis.call('TYPE', KEYS[1]).ok == 'zset' and redis.call('ZSCORE', KEYS[1], ARGV[1])
local stamp = is_known and not is_closed and at or 0
for n = 1, #KEYS do
  if n ~= 2 and redis.pcall('ZREM', KEYS[n], ARGV[1]) == 1 and not is_closed then
    if n == 1 then
      while redis.call('ZSCORE', KEYS[n], text(stamp)) do stamp = stamp + 1 end
    end
    if stamp > 0 then redis.call('ZADD', KEYS[n], text(stamp), text(stamp)) end
  end
end
return { time[1], time[2], text(is_closed and gate.closed_until - at or 0), text(stamp), gate and gate.probe > 0 and 1 or 0 }
