-- Promise: calls that a replica made while it was cut off count as if they had been granted here, and so do those that it saw here and that were lost since; where nothing is known of the past it stays unknown.
-- KEYS log, book; ARGV window (microseconds), keep (ms), 1 where the replica has seen the past, how many ages follow, the age of each call (microseconds), then the time of each call that it saw.

local span, keep, ages = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[4])
local time, at = now()
make_room(KEYS[1], 'zset')
make_room(KEYS[2], 'hash')
if redis.call('ZCARD', KEYS[1]) == 0 and ARGV[3] == '1' then
  -- That nothing was sent since is knowledge, too.
  charge({ KEYS[1] }, at - span, keep)
  write_book(KEYS[2], 'life', at, keep)
  -- The others have not told yet what they saw.
  write_book(KEYS[2], 'settles', at + SETTLES, keep)
end
if redis.call('ZCARD', KEYS[1]) > 0 then
  for n = 5, 4 + ages do charge({ KEYS[1] }, at - tonumber(ARGV[n]), keep) end
  for n = 5 + ages, #ARGV do
    local stamp = tonumber(ARGV[n])
    -- What was granted for later was not sent: who waits for it asks anew.
    if stamp > at - span and stamp <= at then redis.call('ZADD', KEYS[1], text(stamp), text(stamp)) end
  end
end
return { time[1], time[2] }
