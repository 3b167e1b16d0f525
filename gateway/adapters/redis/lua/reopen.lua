-- Promise: opens the gate if a probe was sent; the answer to a call sent before it closed changes nothing.
-- KEYS gate.

local time, at = now()
local gate = read_gate(KEYS[1])
if gate and gate.probing then
  redis.call('DEL', KEYS[1])
  gate = nil
end
local closed_for = gate and math.max(0, gate.closed_until - at) or 0
return { time[1], time[2], text(closed_for) }
