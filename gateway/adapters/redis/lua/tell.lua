-- Promise: notices reach the channel in the order of their numbers, none left out; names the replicas alive at that moment, which life of the membership it is and how old, and for how long each replica may answer with what it held.
-- KEYS roll, number, members; ARGV channel, notice, patience, span (microseconds).

local time, at = call_the_roll(KEYS[1], tonumber(ARGV[3]))
told_last(KEYS[2])
local number = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], KEEP)
redis.call('PUBLISH', ARGV[1], digits(number) .. ' ' .. ARGV[2])
local life, age, told = call_the_members(KEYS[3], at, tonumber(ARGV[4]))
return { time[1], time[2], life, age, redis.call('ZRANGE', KEYS[1], 0, -1), told }
