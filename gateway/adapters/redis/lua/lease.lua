-- Scripts of the lease of a fetch. elect needs floor.lua. The functions here read the record of a lease and keep the list of its followers.
-- The record of a lease is `held token epoch generation begun` and, for some time after the end of the fetch, `ended token ending`.

local LONGEST = 30000  -- ms; no gateway takes a lease for longer

-- nil if there is no lease that can be read. The fetch then has no leader. A lease without an expiry, or with an expiry later than LONGEST, counts as absent too, because it might never end.
local function read_lease(key)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' then return nil end  -- absent, or a value of another type, which is then overwritten
  local token, epoch, generation, begun = string.match(raw, '^held (%x+) (%x+) (%d+) (%d+)$')
  if token then
    local left = redis.call('PTTL', key)
    if left < 0 or left > LONGEST then return nil end
    return { token = token, epoch = epoch, generation = tonumber(generation), begun = begun }
  end
  local whose, ending = string.match(raw, '^ended (%x+) (.+)$')
  return whose and { token = whose, ending = ending }
end

local function is_held_by(lease, token)
  return lease and not lease.ending and lease.token == token
end

-- Whether the floor is still as it was when the holder's fetch began: no invalidation and no later answer has come
-- since.
local function is_of_today(lease, floor)
  if lease.ending or lease.epoch ~= floor.epoch or lease.generation ~= floor.generation then
    return false
  end
  return floor.started <= lease.begun
end

local function follow(list, replica, keep)
  if redis.call('TYPE', list).ok ~= 'set' then redis.call('DEL', list) end
  redis.call('SADD', list, replica)
  redis.call('PEXPIRE', list, keep)
end

-- script: elect
-- Promise: keeps the promise of the script `begin` in store.lua. While the lease lasts, only one of the replicas that ask leads the fetch. Another replica may lead if an invalidation or a later answer came since the leader's fetch began. The other replicas learn which fetch they follow, and are put on the list of followers.
-- KEYS floor, event, body, lease, followers; ARGV epoch of a new floor, keep of a floor without a stored body, token, lifetime of the lease, replica, keep of the list (all times in ms).

local floor, record = begin_fetch(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local token, lifetime, replica, keep = unpack(ARGV, 3, 6)
local time, stamp = now()
local lease = read_lease(KEYS[4])
if lease and is_of_today(lease, floor) then
  follow(KEYS[5], replica, keep)
  return { time[1], time[2], record, stamp, lease.token, 0 }
end
local held = string.format('held %s %s %.0f %s', token, floor.epoch, floor.generation, stamp)
redis.call('SET', KEYS[4], held, 'PX', lifetime)
return { time[1], time[2], record, stamp, token, 1 }

-- script: renew
-- Promise: the lease lasts for another lifetime, if it is still held with this token.
-- KEYS lease; ARGV token, lifetime (ms).

local time = redis.call('TIME')
local holds = is_held_by(read_lease(KEYS[1]), ARGV[1])
if holds then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return { time[1], time[2], holds and 1 or 0 }

-- script: release
-- Promise: ends the lease, if it is held with this token. The replicas on the list of followers, and no others, are told how the fetch ended. If there are followers, the ending can be read for some time as well.
-- KEYS lease, followers; ARGV token, ending, keep of the ending (ms), prefix of the followers' channels.

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

-- script: watch
-- Promise: returns one of three states: the lease is still held with this token; that fetch has ended, with its ending; or the lease is gone (no fetch has it, or another one). While the lease is held with this token, this replica stays on the list of followers.
-- KEYS lease, followers; ARGV token, replica, keep of the list (ms).

local time = redis.call('TIME')
local lease = read_lease(KEYS[1])
if is_held_by(lease, ARGV[1]) then
  follow(KEYS[2], ARGV[2], ARGV[3])
  return { time[1], time[2], 'held' }
end
if lease and lease.token == ARGV[1] then return { time[1], time[2], 'ended', lease.ending } end
return { time[1], time[2], 'gone' }
