-- Promise: the replica counts as alive from now on for `patience`, and for `span` as one that may answer with what it holds; it learns the number of the notice told last (0: none is known), which life of the membership it is and how old, who is alive, and for how long each may answer so. Those that it remembers from a life that was lost are among them again.
-- KEYS roll, number, members; ARGV replica, patience, span (microseconds), and of each that is remembered its name and for how long.

local patience, span = tonumber(ARGV[2]), tonumber(ARGV[3])
local time, at = call_the_roll(KEYS[1], patience)
redis.call('ZADD', KEYS[1], digits(at), ARGV[1])
redis.call('PEXPIRE', KEYS[1], KEEP)
redis.call('PEXPIRE', KEYS[2], KEEP)
make_room(KEYS[3])
for n = 4, #ARGV, 2 do redis.call('ZADD', KEYS[3], 'NX', digits(at + ARGV[n + 1]), ARGV[n]) end
redis.call('ZADD', KEYS[3], digits(at + span), ARGV[1])
local life, age, told = call_the_members(KEYS[3], at, span)
return { time[1], time[2], digits(told_last(KEYS[2])), life, age, redis.call('ZRANGE', KEYS[1], 0, -1), told }
