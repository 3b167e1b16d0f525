-- Promise: a call whose turn was waited for counts from now on; where the gate was closed meanwhile it is undone, and told so.
-- KEYS log, gate, the log of each rank; ARGV stamp of the charge.

local time, at = now()
local gate = read_gate(KEYS[2], at)
local is_closed = gate and at < gate.closed_until
local stamp = is_closed and 0 or at
for n = 1, #KEYS do
  if n ~= 2 and redis.pcall('ZREM', KEYS[n], ARGV[1]) == 1 and not is_closed then
    if n == 1 then
      while redis.call('ZSCORE', KEYS[n], text(stamp)) do stamp = stamp + 1 end
    end
    redis.call('ZADD', KEYS[n], text(stamp), text(stamp))
  end
end
return { time[1], time[2], text(is_closed and gate.closed_until - at or 0), text(stamp), gate and gate.probe > 0 and 1 or 0 }
