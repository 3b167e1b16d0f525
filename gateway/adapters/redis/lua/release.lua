-- Promise: the holder of the lease with this token no longer holds it, and the replicas on the list of followers, nobody else, are told how it ended; for a while it can be read as well. With a failure the key is left alone, for longer with each in a row, until an answer.
-- KEYS lease, followers, back-off; ARGV token, ending, keep of the ending, what the followers' channels begin with, `answer`, `failure` or `none`; with a failure its base, cap, jitter, the least of it, and how long it is remembered after that (all times in ms).

local token, ending, keep, channels, came = unpack(ARGV)
local time = redis.call('TIME')
if not is_held_by(read_lease(KEYS[1]), token) then return { time[1], time[2], 0 } end
if came == 'answer' then redis.call('DEL', KEYS[3]) end
if came == 'failure' then back_off(KEYS[3], time, unpack(ARGV, 6, 10)) end
local followers = redis.pcall('SMEMBERS', KEYS[2])
if #followers == 0 then
  redis.call('DEL', KEYS[1])
else
  local message = string.format('ended %s %s', token, ending)
  redis.call('SET', KEYS[1], message, 'PX', keep)
  redis.call('DEL', KEYS[2])
  for _, replica in ipairs(followers) do redis.call('PUBLISH', channels .. replica, message) end
end
return { time[1], time[2], 1 }
