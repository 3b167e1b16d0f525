-- Promise: the leader of the sweep gives up the lead, and no other replica loses it by that.
-- KEYS lead; ARGV token.

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
return { time[1], time[2], redis.call('DEL', KEYS[1]) }
