-- Promise: hands out the floor's epoch and generation and the time, so that whatever is invalidated from now on shows when the fetch is stored; makes a floor where none is known.
-- KEYS floor, event; ARGV epoch of a new floor, keep of the floor (ms).

local floor = read_floor(KEYS[1]) or new_floor(ARGV[1])
absorb(floor, read_event(KEYS[2]))
local record = write_floor(KEYS[1], floor, ARGV[2])
local time, stamp = now()
return { time[1], time[2], record, stamp }
