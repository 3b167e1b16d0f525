-- Promise: tells whether the last complete sweep met a training: 1 or 0; -1 where there was none, or what stands in its place cannot be read.
-- KEYS known; ARGV training.

local time = redis.call('TIME')
local known = -1
if redis.call('TYPE', KEYS[1]).ok == 'zset' then
  known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
end
return { time[1], time[2], known }
