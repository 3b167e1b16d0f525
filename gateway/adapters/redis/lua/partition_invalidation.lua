-- Scripts on one copy of the share of a partition. Each entry has the share that was stored when its fetch began. All scripts need floor.lua.

-- script: strike
-- Promise: all responses that were fetched for this partition until now with this copy of the share are ruled out for ever, also those of fetches in flight. Nothing has to be searched.
-- KEYS share; ARGV keep (ms): longer than any body.

local time, at = now()
local before = get(KEYS[1])
-- A clock that was set back must not undo an invalidation, and two invalidations must differ.
if before and #before == 16 and at <= before then
  at = string.format('%016.0f', (tonumber(before) or 0) + 1)
end
redis.call('SET', KEYS[1], at, 'PX', ARGV[1])
return { time[1], time[2] }

-- script: share
-- Promise: returns the share, which exists before the partition's first fetch. If the share was lost, another share is made. An invalidation also replaces the share.
-- KEYS share; ARGV keep (ms).

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
