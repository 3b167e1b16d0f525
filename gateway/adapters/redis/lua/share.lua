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
