-- Promise: only who leads moves the sweep on; tells how many different trainings it has met, and which of the last complete one lay between the neighbours on this page and are not there.
-- KEYS lead, progress, met, known; ARGV token, progress, keep (ms), row of the first item, 1 where no page follows, last training of the page before, the items.

local token, progress, keep, first, is_last, anchor = unpack(ARGV, 1, 6)
local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= token then return { time[1], time[2], 0, 0 } end
-- An error would last as long as what stands there.
for _, key in ipairs({ KEYS[3], KEYS[4] }) do
  if redis.call('TYPE', key).ok ~= 'zset' then redis.call('DEL', key) end
end
if first == '0' then redis.call('DEL', KEYS[3]) end

local low, high
local function widen(id)
  local row = tonumber(redis.call('ZSCORE', KEYS[4], id) or nil)
  if not row then return end
  if not low or row < low then low = row end
  if not high or row > high then high = row end
end
if anchor ~= '' then widen(anchor) end
for at = 7, #ARGV do
  redis.call('ZADD', KEYS[3], tonumber(first) + at - 7, ARGV[at])
  widen(ARGV[at])
end
if first == '0' then low = '-inf' end
if is_last == '1' then high = '+inf' end

local absent = {}
if low and high then
  -- Rows that moved about would look like many that are gone; the next complete sweep tells.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], low, high, 'LIMIT', 0, 400)) do
    if not redis.call('ZSCORE', KEYS[3], id) then absent[#absent + 1] = id end
  end
end
redis.call('SET', KEYS[2], progress, 'PX', keep)
redis.call('PEXPIRE', KEYS[3], keep)
redis.call('PEXPIRE', KEYS[4], keep)
return { time[1], time[2], 1, redis.call('ZCARD', KEYS[3]), unpack(absent) }
