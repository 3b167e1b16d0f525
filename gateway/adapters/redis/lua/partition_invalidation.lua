-- Scripts on the share of a partition: one record, by which is known what the partition fetched. They need floor.lua.

-- script: strike
-- Promise: whatever was fetched for this partition up to now is ruled out for good, in one step and without looking for it, fetches in flight included.
-- KEYS strike; ARGV keep (ms): longer than any body.

local time, at = now()
local before = get(KEYS[1])
-- A clock set back must not take anything back, and two strikes must differ.
if before and #before == 16 and at <= before then
  at = string.format('%016.0f', (tonumber(before) or 0) + 1)
end
redis.call('SET', KEYS[1], at, 'PX', ARGV[1])
return { time[1], time[2] }

-- script: share
-- Promise: from before its first fetch on, what a partition fetches is known by the record that stands here; one that was lost comes back as another, and a strike is another as well.
-- KEYS strike; ARGV keep (ms).

local time, at = now()
local record = get(KEYS[1])
local digits = record and string.match(record, '^b?(%d+)$')
if not digits or #digits ~= 16 then
  record = 'b' .. at
  redis.call('SET', KEYS[1], record, 'PX', ARGV[1])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return { time[1], time[2], record }
