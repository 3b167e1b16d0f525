-- Promise: who leads the sweep no longer does, and nobody else loses the lead by it.
-- KEYS lead; ARGV token.

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
return { time[1], time[2], redis.call('DEL', KEYS[1]) }
