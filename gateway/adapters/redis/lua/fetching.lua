-- Prelude of the scripts that begin a fetch; needs floor.lua.

-- The floor with all events applied, and its record; one that is not known yet is made, for no longer than a fetch may take: a store keeps it.
local function begin_fetch(floor_key, event_key, body_key, epoch, keep)
  local known = read_floor(floor_key)
  local floor = known or new_floor(epoch)
  local left = known and redis.call('PTTL', floor_key) or 0
  local lasts = math.max(left, tonumber(keep))
  if absorb_at(floor, event_key, lasts) then redis.call('DEL', body_key) end
  if not known then floor.generation = 0 end
  return floor, write_floor(floor_key, floor, lasts)
end
