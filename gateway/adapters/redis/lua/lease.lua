-- Scripts of the lease of a fetch; elect needs floor.lua. What they share reads its record, keeps the list of the replicas that follow, and how long the key is left alone.
-- A record is `held token epoch generation begun` or, for a while after that, `ended token ending`. Beside it stands, after failures, `attempts until`.

local LONGEST = 30000  -- ms; no gateway takes a lease for longer

-- nil where there is none that we can read: nobody holds the lease then. One that never ends, or not soon, is nobody's either: it would be waited for in vain.
local function read_lease(key)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' then return nil end  -- nothing, or of another type: written over
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

-- Whether nothing was invalidated, and no later version heard of, since the holder's fetch began.
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

-- nil where nothing failed lately; `till` in microseconds, as many digits as `now` has.
local function read_backoff(key)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' then return nil end
  local attempts, till = string.match(raw, '^(%d+) (%d+)$')
  if not attempts or #attempts > 9 or #till ~= 16 then return nil end
  return { attempts = tonumber(attempts), till = till }
end

-- As `backoff` and `Pause` in core/budget/breaker.py; times in ms.
local function back_off(key, time, base, cap, jitter, least, keep)
  local before = read_backoff(key)
  local attempts = before and before.attempts + 1 or 1
  local wait = math.min(cap, base * 2 ^ math.min(attempts - 1, 60)) * (1 - jitter / 2)
  wait = math.ceil(math.max(least, wait))
  local till = time[1] * 1000000 + time[2] + wait * 1000
  redis.call('SET', key, string.format('%d %016.0f', attempts, till), 'PX', wait + keep)
end

-- script: elect
-- Promise: what `begin` in store.lua promises, and of all who ask while the lease lasts one leads, unless the floor was raised since its fetch began; the others learn whom they follow, and are on the list of those who will be told how it ended. Who is unhurried does not lead while the key is left alone, and learns after how many failures and for how long (ms).
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

-- script: renew
-- Promise: the lease lasts for another lifetime, if it is still held with this token.
-- KEYS lease; ARGV token, lifetime (ms).

local time = redis.call('TIME')
local holds = is_held_by(read_lease(KEYS[1]), ARGV[1])
if holds then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return { time[1], time[2], holds and 1 or 0 }

-- script: release
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

-- script: watch
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
