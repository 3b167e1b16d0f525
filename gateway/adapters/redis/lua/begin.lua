-- Promise: hands out the floor's epoch and generation and the time, so that whatever is invalidated from now on shows when the fetch is stored; makes a floor where none is known, for no longer than a fetch may take: who stores keeps it.
-- KEYS floor, event, body; ARGV epoch of a new floor, keep of one that nothing was stored under (ms).

local known = read_floor(KEYS[1])
local floor = known or new_floor(ARGV[1])
local left = known and redis.call('PTTL', KEYS[1]) or 0
if absorb(floor, read_event(KEYS[2])) then redis.call('DEL', KEYS[3]) end
local record = write_floor(KEYS[1], floor, math.max(left, tonumber(ARGV[2])))
local time, stamp = now()
return { time[1], time[2], record, stamp }
