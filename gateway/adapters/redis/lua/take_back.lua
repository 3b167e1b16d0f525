-- Promise: a version that the list alone claimed is no longer known, and what is stored stands as before; nothing happens where a single answer or an order said anything since, or an order may have been lost.
-- KEYS floor, event; ARGV version, keep of the floor (ms).

local version, floor_keep = unpack(ARGV)
local time = now()

local floor, event = read_floor(KEYS[1]), read_event(KEYS[2])
local stored = floor and raised_from(floor)
if not stored or #stored ~= 21 or floor.updated_at ~= version then
  return { time[1], time[2], 0 }
end
if not event or later(event.bound, event.soft_bound) >= version then return { time[1], time[2], 0 } end
floor.updated_at, floor.last = stored, ''
write_floor(KEYS[1], floor, floor_keep)
return { time[1], time[2], 1 }
