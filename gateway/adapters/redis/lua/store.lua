-- Promise: writes the entry only with the epoch and generation that its fetch began with, never over a later version, and never over a later fetch of the same one.
-- KEYS floor, event, body; ARGV epoch, generation, version, kind (v or n), digest, time of the fetch, envelope, keep of the body (ms), keep of the floor (ms).

local epoch, generation, version, kind, digest, started = unpack(ARGV, 1, 6)
local time = now()

local floor = read_floor(KEYS[1])
if not floor then return { time[1], time[2], 'invalidated', '' } end
if absorb(floor, read_event(KEYS[2])) then redis.call('DEL', KEYS[3]) end

-- A negative entry has no version: it and what follows it are ordered by their fetches alone.
-- A floor without a kind knows no answer, only perhaps a version below which nothing is taken.
local function verdict()
  if floor.epoch ~= epoch or floor.generation ~= tonumber(generation) then return 'invalidated' end
  local is_later = started >= floor.started
  if kind == 'n' then
    if not is_later then return 'older' end
    if floor.kind == 'n' then return 'unchanged' end
  else
    if version < floor.updated_at then return 'older' end
    if floor.kind == 'n' and not is_later then return 'older' end
    if floor.kind == 'v' and version == floor.updated_at then
      if digest == floor.digest then return 'unchanged' end
      if not is_later then return 'older' end
    end
  end
  if floor.kind == '-' and floor.updated_at == NO_VERSION then return 'first' end
  return 'changed'
end

local said = verdict()
if said == 'invalidated' or said == 'older' then
  return { time[1], time[2], said, write_floor(KEYS[1], floor, ARGV[9]) }
end
if said == 'unchanged' and started < floor.started then
  -- A later fetch has confirmed the same: its times stay, unless its body is gone.
  redis.call('SET', KEYS[3], ARGV[7], 'PX', ARGV[8], 'NX')
else
  redis.call('SET', KEYS[3], ARGV[7], 'PX', ARGV[8])
end
floor.updated_at = later(floor.updated_at, version)
floor.kind, floor.digest = kind, digest
floor.started = later(floor.started, started)
return { time[1], time[2], said, write_floor(KEYS[1], floor, ARGV[9]) }
