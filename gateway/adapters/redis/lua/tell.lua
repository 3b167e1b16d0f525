-- Promise: notices reach the channel in the order of their numbers, none left out; names the replicas alive at that moment, and which life of the roll they are on.
-- KEYS roll, number, life; ARGV channel, notice, patience (microseconds).

local time, at = call_the_roll(KEYS[1], tonumber(ARGV[3]))
told_last(KEYS[2])
local number = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], KEEP)
redis.call('PUBLISH', ARGV[1], string.format('%.0f ', number) .. ARGV[2])
return { time[1], time[2], life_of(KEYS[3], at), redis.call('ZRANGE', KEYS[1], 0, -1) }
