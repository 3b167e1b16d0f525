-- Prelude of the scripts of the bus: which replicas are alive, by Redis' own clock.

local KEEP = 24 * 60 * 60 * 1000

-- The number of the notice told last, 0 where none is known. One that the receivers would not read
-- as a number, or that is no exact double, began as something else: the count begins anew.
local function told_last(key)
  local raw = redis.pcall('GET', key)
  local number = type(raw) == 'string' and string.match(raw, '^[1-9]%d*$') and tonumber(raw)
  if number and number < 2 ^ 53 then return number end
  redis.call('DEL', key)
  return 0
end

-- Also whoever is marked from far ahead of the clock: it went back, and nothing else would remove them.
local function call_the_roll(roll, patience)
  local time = redis.call('TIME')
  -- What is of another type than ours goes: an error would last as long as it.
  if redis.call('TYPE', roll).ok ~= 'zset' then redis.call('DEL', roll) end
  local at = time[1] * 1000000 + time[2]
  redis.call('ZREMRANGEBYSCORE', roll, '-inf', string.format('(%.0f', at - patience))
  redis.call('ZREMRANGEBYSCORE', roll, string.format('(%.0f', at + patience), '+inf')
  return time, at
end

-- When this life of the roll began: another one began with another, and knows nobody of before.
local function life_of(key, at)
  local raw = redis.pcall('GET', key)
  local began = type(raw) == 'string' and string.match(raw, '^%d+$') and #raw == 16 and raw
  if not began then
    began = string.format('%016.0f', at)
    redis.call('SET', key, began)
  end
  redis.call('PEXPIRE', key, KEEP)
  return began
end
