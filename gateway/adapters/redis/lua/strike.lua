-- Promise: whatever was fetched for this partition up to now is ruled out for good, in one step and without looking for it, fetches in flight included.
-- KEYS strike; ARGV keep (ms): longer than any body.

local time, at = now()
local before = redis.call('GET', KEYS[1])
-- A clock set back must not take anything back.
if before and #before == 16 then at = later(at, before) end
redis.call('SET', KEYS[1], at, 'PX', ARGV[1])
return { time[1], time[2] }
