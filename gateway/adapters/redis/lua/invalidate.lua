-- Promise: what is older than the bound (everything, without one) is invalid in every partition of this training, known here or not, fetches in flight included; survives as long as any body can.
-- KEYS event; ARGV version of the bound (zeros: none), keep (ms).

local time, serial = now()
local event = read_event(KEYS[1]) or unknown_event()

-- Two events within a microsecond, or a clock set back, must still differ and ascend.
if serial <= event.serial then
  serial = string.format('%016.0f', tonumber(event.serial) + 1)
end
event.serial = serial
if ARGV[1] == NO_VERSION then
  event.all = serial
else
  event.bound = later(event.bound, ARGV[1])
  event.at = serial
end
write_event(KEYS[1], event, ARGV[2])
return { time[1], time[2] }
