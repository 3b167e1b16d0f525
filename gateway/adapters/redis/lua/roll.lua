-- Prelude of the scripts of the bus: which replicas are alive, and which may still answer with what they held, by Redis' own clock.

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

local function digits(number)
  return string.format('%.0f', number)
end

-- What is of another type than ours goes: an error would last as long as it.
local function make_room(key)
  if redis.call('TYPE', key).ok ~= 'zset' then redis.call('DEL', key) end
end

-- Also whoever is marked from far ahead of the clock: it went back, and nothing else would remove them.
local function call_the_roll(roll, patience)
  local time = redis.call('TIME')
  make_room(roll)
  local at = time[1] * 1000000 + time[2]
  redis.call('ZREMRANGEBYSCORE', roll, '-inf', '(' .. digits(at - patience))
  redis.call('ZREMRANGEBYSCORE', roll, '(' .. digits(at + patience), '+inf')
  return time, at
end

-- When this life of the membership began: another one began with another, and knows nobody of before. It stands among
-- the members, so that they are not lost without it.
local function life_of(members, at)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', members, '+inf', '+inf')) do
    local began = string.match(name, '^life:(%d+)$')
    if began and #began == 16 then return began end
  end
  local began = string.format('%016.0f', at)
  redis.call('ZADD', members, '+inf', 'life:' .. began)
  return began
end

-- The life, how old it is (microseconds), and of each replica that did not take its leave for how long (microseconds) it may answer with what it
-- held when it was heard of last. None for longer than that from now, if the clock went back.
local function call_the_members(members, at, span)
  make_room(members)
  redis.call('ZREMRANGEBYSCORE', members, '-inf', digits(at))
  local longest = at + math.max(2 * span, KEEP * 1000)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', members, '(' .. digits(longest), '(+inf')) do
    redis.call('ZADD', members, digits(at + span), name)
  end
  local life, told = life_of(members, at), {}
  redis.call('PEXPIRE', members, digits(math.max(KEEP, span / 500)))
  local known = redis.call('ZRANGEBYSCORE', members, '-inf', '(+inf', 'WITHSCORES')
  for n = 1, #known, 2 do
    told[n], told[n + 1] = known[n], digits(tonumber(known[n + 1]) - at)
  end
  return life, digits(at - tonumber(life)), told
end
