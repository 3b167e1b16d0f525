-- Prelude of the scripts of the lease: reads its record, keeps the list of the replicas that follow, and how long the key is left alone.
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
