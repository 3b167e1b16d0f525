-- Promise: calls that a replica made while it was cut off count as if they had been granted here; where nothing is known of the past it stays unknown.
-- KEYS log; ARGV keep (ms), then the age of each call (microseconds).

local time, at = now()
make_room(KEYS[1], 'zset')
if redis.call('ZCARD', KEYS[1]) > 0 then
  for n = 2, #ARGV do charge({ KEYS[1] }, at - tonumber(ARGV[n]), ARGV[1]) end
end
return { time[1], time[2] }
