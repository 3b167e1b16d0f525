-- Promise: tells whether the lease is still held with this token, how it ended, or that it is gone; a replica that still waits stays on the list of followers.
-- KEYS lease, followers; ARGV token, replica, keep of the list (ms).

local time = redis.call('TIME')
local lease = read_lease(KEYS[1])
if is_held_by(lease, ARGV[1]) then
  follow(KEYS[2], ARGV[2], ARGV[3])
  return { time[1], time[2], 'held' }
end
if not lease then return { time[1], time[2], 'gone' } end
if lease.token == ARGV[1] then return { time[1], time[2], 'ended', lease.ending } end
return { time[1], time[2], 'passed' }
