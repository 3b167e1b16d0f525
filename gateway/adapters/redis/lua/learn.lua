-- Promise: what upstream said of its limit is believed downwards; calls that are fewer left than thought were made by others, and count until upstream's reset. As core/budget/window_log.learn.
-- KEYS log, book; ARGV limit, window (microseconds), how many of them a lowered limit takes for one, keep (ms), the limit that upstream named for such a window (0: none), how many it said are left (-1: none), and for how long (microseconds).

local limit, span, parts, keep, quota, remaining, reset = unpack(ARGV)
limit, span, quota, remaining, reset = tonumber(limit), tonumber(span), tonumber(quota), tonumber(remaining), tonumber(reset)
local time, at = now()
make_room(KEYS[1], 'zset')
make_room(KEYS[2], 'hash')
if quota > 0 and quota < lowered(KEYS[2], limit, span * parts, at) then lower(KEYS[2], quota, at, keep) end
local holds = lowered(KEYS[2], limit, span * parts, at)
if remaining >= 0 and reset > 0 then
  local others = holds - later(KEYS[1], at - span) - remaining
  local when = at + math.min(reset, span) - span
  for _ = 1, others do when = charge({ KEYS[1] }, when, keep) + 1 end
end
return { time[1], time[2], holds, math.max(0, holds - later(KEYS[1], at - span)) }
