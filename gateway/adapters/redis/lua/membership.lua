-- Scripts of the bus and of the heartbeats: which replicas are alive, and which may still answer with what they held, by Redis' own clock.

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

-- script: beat
-- Promise: the replica counts as alive from now on for `patience`, and for `span` as one that may answer with what it holds; it learns the number of the notice told last (0: none is known), which life of the membership it is and how old, who is alive, and for how long each may answer so. Those that it remembers from a life that was lost are among them again.
-- KEYS roll, number, members; ARGV replica, patience, span (microseconds), and of each that is remembered its name and for how long.

local patience, span = tonumber(ARGV[2]), tonumber(ARGV[3])
local time, at = call_the_roll(KEYS[1], patience)
redis.call('ZADD', KEYS[1], digits(at), ARGV[1])
redis.call('PEXPIRE', KEYS[1], KEEP)
redis.call('PEXPIRE', KEYS[2], KEEP)
make_room(KEYS[3])
for n = 4, #ARGV, 2 do redis.call('ZADD', KEYS[3], 'NX', digits(at + ARGV[n + 1]), ARGV[n]) end
redis.call('ZADD', KEYS[3], digits(at + span), ARGV[1])
local life, age, told = call_the_members(KEYS[3], at, span)
return { time[1], time[2], digits(told_last(KEYS[2])), life, age, redis.call('ZRANGE', KEYS[1], 0, -1), told }

-- script: tell
-- Promise: notices reach the channel in the order of their numbers, none left out; names the replicas alive at that moment, which life of the membership it is and how old, and for how long each replica may answer with what it held.
-- KEYS roll, number, members; ARGV channel, notice, patience, span (microseconds).

local time, at = call_the_roll(KEYS[1], tonumber(ARGV[3]))
told_last(KEYS[2])
local number = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], KEEP)
redis.call('PUBLISH', ARGV[1], digits(number) .. ' ' .. ARGV[2])
local life, age, told = call_the_members(KEYS[3], at, tonumber(ARGV[4]))
return { time[1], time[2], life, age, redis.call('ZRANGE', KEYS[1], 0, -1), told }
