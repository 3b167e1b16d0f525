-- Promise: whatever was fetched for this partition up to now is ruled out for good, in one step and without looking for it, fetches in flight included.
-- KEYS strike; ARGV keep (ms): longer than any body.

local time, at = now()
local before = get(KEYS[1])
-- A clock set back must not take anything back, and two strikes must differ.
if before and #before == 16 and at <= before then
  at = string.format('%016.0f', (tonumber(before) or 0) + 1)
end
redis.call('SET', KEYS[1], at, 'PX', ARGV[1])
return { time[1], time[2] }
