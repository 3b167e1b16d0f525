-- Promise: the replica counts as alive from now on for `patience`, and learns the number of the notice told last (0: none is known) and how many are alive.
-- KEYS roll, number; ARGV replica, patience (microseconds).

local time, at = call_the_roll(KEYS[1], tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1])
redis.call('PEXPIRE', KEYS[1], KEEP)
redis.call('PEXPIRE', KEYS[2], KEEP)
return { time[1], time[2], string.format('%.0f', told_last(KEYS[2])), redis.call('ZCARD', KEYS[1]) }
