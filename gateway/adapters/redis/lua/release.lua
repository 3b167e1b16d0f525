-- Promise: who holds the lease with this token no longer does, and the replicas on the list of followers, nobody else, are told how it ended; for a while it can be read as well.
-- KEYS lease, followers; ARGV token, ending, keep of the ending (ms), what the followers' channels begin with.

local token, ending, keep, channels = unpack(ARGV)
local time = redis.call('TIME')
if not is_held_by(read_lease(KEYS[1]), token) then return { time[1], time[2], 0 } end
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
