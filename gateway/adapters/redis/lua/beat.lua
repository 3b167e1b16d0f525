-- Promise: the replica counts as alive from now on for `patience`, and learns the number of the notice told last (0: none is known), which life of the roll it is, and who is alive.
-- KEYS roll, number, life; ARGV replica, patience (microseconds).

local time, at = call_the_roll(KEYS[1], tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1])
redis.call('PEXPIRE', KEYS[1], KEEP)
redis.call('PEXPIRE', KEYS[2], KEEP)
local told = string.format('%.0f', told_last(KEYS[2]))
return { time[1], time[2], told, life_of(KEYS[3], at), redis.call('ZRANGE', KEYS[1], 0, -1) }
