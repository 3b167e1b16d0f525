-- Prelude of the scripts of the lease: reads its record, and keeps the list of the replicas that follow.
-- A record is `held token epoch generation begun` or, for a while after that, `ended token ending`.

-- nil where there is none that we can read: nobody holds the lease then.
local function read_lease(key)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' then return nil end  -- nothing, or of another type: written over
  local token, epoch, generation, begun = string.match(raw, '^held (%x+) (%x+) (%d+) (%d+)$')
  if token then
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
