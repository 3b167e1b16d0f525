-- Promise: ends a probe. An answer opens a gate that is probed or due, one sent before it closed changes nothing; a call that was never sent is no longer charged and, if it was the probe, lets the next one probe at once.
-- KEYS log, gate, the log of each rank; ARGV stamp of the call that was never sent (empty: an answer came), keep (ms). The same rules as core/budget/breaker.Gate.reopen and take_back.

local never_sent, keep = unpack(ARGV)
local time, at = now()
local gate = read_gate(KEYS[2], at)
local opened = 0

if never_sent ~= '' then
  if redis.pcall('ZREM', KEYS[1], never_sent) == 1 and redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('ZADD', KEYS[1], 1, '1') -- as if of long ago: an empty log is one that was lost
  end
  for n = 3, #KEYS do redis.pcall('ZREM', KEYS[n], never_sent) end
  if gate and gate.probe == tonumber(never_sent) then
    gate.closed_until, gate.probe = at, 0
    write_gate(KEYS[2], gate, keep)
  end
elseif gate and (gate.probe > 0 or at >= gate.closed_until) then
  redis.call('DEL', KEYS[2])
  gate, opened = nil, 1
end

local closed_for = gate and math.max(0, gate.closed_until - at) or 0
return { time[1], time[2], text(closed_for), opened }
