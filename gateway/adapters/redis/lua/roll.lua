-- Prelude of the scripts of the bus: which replicas are alive, by Redis' own clock.

local KEEP = 24 * 60 * 60 * 1000

-- Also whoever is marked from far ahead of the clock: it went back, and nothing else would remove them.
local function call_the_roll(roll, patience)
  local time = redis.call('TIME')
  local at = time[1] * 1000000 + time[2]
  redis.call('ZREMRANGEBYSCORE', roll, '-inf', string.format('(%.0f', at - patience))
  redis.call('ZREMRANGEBYSCORE', roll, string.format('(%.0f', at + patience), '+inf')
  return time, at
end
