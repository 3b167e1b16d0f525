-- Promise: nothing stored under this key, nor any fetch of it in flight, is used as fresh again, and what was known of its version is forgotten: the next answer is taken whatever its version; a key without a floor has nothing to forget.
-- KEYS floor, event, body, doubt; ARGV keep of the floor (ms), 1 to leave the body for rescue, if it may rescue until now.

local time = now()
local floor = read_floor(KEYS[1])
if floor then
  local struck = absorb_at(floor, KEYS[2], ARGV[1])
  -- A bound that no answer has met rules the body out, and is forgotten below.
  local lost = floor.digest == NO_DIGEST and floor.updated_at > NO_VERSION
  if struck or lost then redis.call('DEL', KEYS[3]) end
  begin_era(floor)
  floor.updated_at, floor.kind, floor.digest, floor.started = NO_VERSION, '-', NO_DIGEST, NEVER
  write_floor(KEYS[1], floor, ARGV[1])
  redis.call('SET', KEYS[4], TRUST, 'PX', ARGV[1])
end
if ARGV[2] ~= '1' then redis.call('DEL', KEYS[3]) end
return { time[1], time[2], floor and 1 or 0 }
