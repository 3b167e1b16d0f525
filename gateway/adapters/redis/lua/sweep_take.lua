-- Promise: at any time at most one replica leads the sweep of a partition, and all see how far it has come; whether somebody reads of the partition is known to all for as long as it matters.
-- KEYS lead, progress, reads; ARGV token, lifetime (ms), 1 where callers read here, how long that counts (ms).

local time = redis.call('TIME')
local stamp = string.format('%010d%06d', time[1], time[2])
if ARGV[3] == '1' then redis.call('SET', KEYS[3], '1', 'PX', ARGV[4]) end
local leader = redis.pcall('GET', KEYS[1])
local leads = not leader or type(leader) ~= 'string' or leader == ARGV[1]
if leads then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
local progress = redis.pcall('GET', KEYS[2])
if type(progress) ~= 'string' then progress = '' end
return { time[1], time[2], leads and 1 or 0, progress, redis.call('EXISTS', KEYS[3]), stamp }
