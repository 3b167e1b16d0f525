-- Promise: hands out the floor's epoch and generation and the time, so that whatever is invalidated from now on shows when the fetch is stored; makes a floor where none is known, for no longer than a fetch may take: who stores keeps it.
-- KEYS floor, event, body; ARGV epoch of a new floor, keep of one that nothing was stored under (ms).

local _, record = begin_fetch(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local time, stamp = now()
return { time[1], time[2], record, stamp }
