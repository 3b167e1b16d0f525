-- Promise: the lease lasts for another lifetime, if it is still held with this token.
-- KEYS lease; ARGV token, lifetime (ms).

local time = redis.call('TIME')
local holds = is_held_by(read_lease(KEYS[1]), ARGV[1])
if holds then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return { time[1], time[2], holds and 1 or 0 }
