-- Scripts of the bus and of the heartbeats: which replicas are alive, and which are members. A member may still answer with the entries that it had at its last heartbeat. All times are on Redis' clock.

local KEEP = 24 * 60 * 60 * 1000

-- The number of the last notice, 0 if none is known. If receivers could not read the stored number, or if the number is
-- not exact as a double, another program wrote the number. In that case the numbers begin again at 1.
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

-- Deletes a value of another type. Otherwise each call would fail as long as the value exists.
local function make_room(key)
  if redis.call('TYPE', key).ok ~= 'zset' then redis.call('DEL', key) end
end

-- Removes the replicas that are not alive any more, and those whose last heartbeat is far ahead of the clock. Such a
-- heartbeat shows that the clock was set back after it, and nothing else would remove these replicas.
local function call_the_roll(roll, patience)
  local time = redis.call('TIME')
  make_room(roll)
  local at = time[1] * 1000000 + time[2]
  redis.call('ZREMRANGEBYSCORE', roll, '-inf', '(' .. digits(at - patience))
  redis.call('ZREMRANGEBYSCORE', roll, '(' .. digits(at + patience), '+inf')
  return time, at
end

-- The time at which this life of the membership began. If Redis loses the members, a new life with another time begins.
-- The time is stored among the members, so that both are lost together.
local function life_of(members, at)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', members, '+inf', '+inf')) do
    local began = string.match(name, '^life:(%d+)$')
    if began and #began == 16 then return began end
  end
  local began = string.format('%016.0f', at)
  redis.call('ZADD', members, '+inf', 'life:' .. began)
  return began
end

-- The life, its age, and for how long each member may still serve its entries (all in microseconds). If such a time is
-- far too long (longer than a day, and longer than two spans), the clock was set back after the member's last
-- heartbeat. In that case the time is cut to `span`.
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
-- Promise: from now on the replica counts as alive for `patience`, and as a member for `span`. The replica learns the number of the last notice (0: none is known), the life of the membership and its age, which replicas are alive, and for how long each member may serve its entries. The members that the replica remembers from a lost life are added again. If two replicas remember a member, the later time counts.
-- KEYS roll, number, members; ARGV replica, patience, span (microseconds), and for each remembered member its name and for how long it may serve its entries.

local patience, span = tonumber(ARGV[2]), tonumber(ARGV[3])
local time, at = call_the_roll(KEYS[1], patience)
redis.call('ZADD', KEYS[1], digits(at), ARGV[1])
redis.call('PEXPIRE', KEYS[1], KEEP)
redis.call('PEXPIRE', KEYS[2], KEEP)
make_room(KEYS[3])
for n = 4, #ARGV, 2 do redis.call('ZADD', KEYS[3], 'GT', digits(at + ARGV[n + 1]), ARGV[n]) end
redis.call('ZADD', KEYS[3], digits(at + span), ARGV[1])
local life, age, told = call_the_members(KEYS[3], at, span)
return { time[1], time[2], digits(told_last(KEYS[2])), life, age, redis.call('ZRANGE', KEYS[1], 0, -1), told }

-- script: tell
-- Promise: publishes the notice with the next number, so that notices reach the channel in the order of their numbers, without a gap. Returns the life of the membership and its age, the replicas that are alive at that moment, for how long each member may serve its entries, and the number.
-- KEYS roll, number, members; ARGV channel, notice, patience, span (microseconds).

local time, at = call_the_roll(KEYS[1], tonumber(ARGV[3]))
told_last(KEYS[2])
local number = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], KEEP)
redis.call('PUBLISH', ARGV[1], digits(number) .. ' ' .. ARGV[2])
local life, age, told = call_the_members(KEYS[3], at, tonumber(ARGV[4]))
return { time[1], time[2], life, age, redis.call('ZRANGE', KEYS[1], 0, -1), told, digits(number) }
