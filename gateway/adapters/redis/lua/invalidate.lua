-- Promise: what is older than the bound (everything, without one) is invalid in every partition of this training, known here or not, fetches in flight included, and a soft order leaves bodies for rescue; survives as long as any body can.
-- KEYS event; ARGV version of the bound (zeros: none), keep (ms), 1 for a soft order.

local time, serial = now()
local event = read_event(KEYS[1]) or unknown_event()

-- Two events within a microsecond, or a clock set back, must still differ and ascend.
if serial <= event.serial then
  serial = string.format('%016.0f', tonumber(event.serial) + 1)
end
event.serial = serial
local soft = ARGV[3] == '1'
if ARGV[1] == NO_VERSION then
  event[soft and 'soft' or 'all'] = serial
else
  local bound = soft and 'soft_bound' or 'bound'
  event[bound] = later(event[bound], ARGV[1])
  event[soft and 'soft_at' or 'at'] = serial
end
write_event(KEYS[1], event, ARGV[2])
return { time[1], time[2] }
