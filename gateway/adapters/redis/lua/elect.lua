-- Promise: what begin.lua promises, and of all who ask while the lease lasts one leads, unless the floor was raised since its fetch began; the others learn whom they follow, and are on the list of those who will be told how it ended. Who is unhurried does not lead while the key is left alone, and learns after how many failures and for how long (ms).
-- KEYS floor, event, body, lease, followers, back-off; ARGV epoch of a new floor, keep of one that nothing was stored under, token, lifetime of the lease, replica, keep of the list (all times in ms), 1 for who is unhurried.

local floor, record = begin_fetch(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local token, lifetime, replica, keep, unhurried = unpack(ARGV, 3, 7)
local time, stamp = now()
local lease = read_lease(KEYS[4])
if lease and is_of_today(lease, floor) then
  follow(KEYS[5], replica, keep)
  return { time[1], time[2], record, stamp, lease.token, 0 }
end
local off = unhurried == '1' and read_backoff(KEYS[6])
if off and off.till > stamp then
  return { time[1], time[2], 'left', off.attempts, math.ceil((off.till - stamp) / 1000) }
end
local held = string.format('held %s %s %.0f %s', token, floor.epoch, floor.generation, stamp)
redis.call('SET', KEYS[4], held, 'PX', lifetime)
return { time[1], time[2], record, stamp, token, 1 }
