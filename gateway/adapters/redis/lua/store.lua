-- Promise: writes the entry only with the epoch and generation that its fetch began with, never over a later version, and never over a later fetch of the same one; a version that went back, or is far ahead, is known only once enough answers agreed on it, and then under a new generation that no body carries yet.
-- KEYS floor, event, body, doubt; ARGV epoch, generation, version, kind (v or n), digest, time of the fetch, envelope, keep of the body (ms), keep of the floor (ms), 1 where the version is far ahead, how long answers have to agree (microseconds), what came beside the body.

local epoch, generation, version, kind, digest, started = unpack(ARGV, 1, 6)
local is_ahead = ARGV[10] == '1'
local time = now()

local floor = read_floor(KEYS[1])
if not floor then return { time[1], time[2], 'invalidated', '' } end
if absorb_at(floor, KEYS[2], ARGV[9]) then redis.call('DEL', KEYS[3]) end
local doubt = read_doubt(KEYS[4])
local is_later = started >= floor.started

-- A negative entry has no version: it and what follows it are ordered by their fetches alone.
-- A floor without a kind knows no answer, only perhaps a version below which nothing is taken.
local function verdict()
  if floor.epoch ~= epoch or floor.generation ~= tonumber(generation) then return 'invalidated' end
  if kind == 'n' then
    if not is_later then return 'older' end
    if floor.kind == 'n' then return 'unchanged' end
  else
    local trusted = doubt and doubt.trusts_next
    if is_ahead and version > floor.updated_at and not trusted then return 'ahead' end
    if version < floor.updated_at then return 'older' end
    if floor.kind == 'n' and not is_later then return 'older' end
    if floor.kind == 'v' and version == floor.updated_at and not raised_from(floor) then
      if digest == floor.digest then return 'unchanged' end
      if not is_later then return 'older' end
    end
  end
  if floor.kind == '-' and floor.updated_at == NO_VERSION then return 'first' end
  return 'changed'
end

-- Refused for its version, not for its fetch, which others have overtaken: noted, and true once
-- it is believed. What was stored goes: its generation is passed.
local function believes(said)
  local behind = kind == 'v' and said == 'older' and version < floor.updated_at
  if not is_later or not (behind or said == 'ahead') then return false end
  local grown = weigh(doubt, floor.updated_at, version, digest, started)
  if not is_believed(grown, ARGV[11]) then
    write_doubt(KEYS[4], grown, ARGV[9])
    return false
  end
  begin_era(floor)
  floor.updated_at, floor.kind, floor.digest, floor.started = version, kind, digest, started
  redis.call('DEL', KEYS[3], KEYS[4])
  return true
end

-- What an order ruled out still proves its version: a caller that was answered with it gets none older.
-- Not where it began in another era, and not where the version may be a mistake.
local function proves(said)
  if said ~= 'invalidated' or kind ~= 'v' or is_ahead then return false end
  local same = floor.epoch == epoch and era(floor.generation) == era(tonumber(generation))
  return same and version > floor.updated_at
end

local said = verdict()
if proves(said) then
  raise(floor, version, started)
  redis.call('DEL', KEYS[3])
end
if said == 'invalidated' or said == 'older' or said == 'ahead' then
  if believes(said) then said = 'believed' end
  return { time[1], time[2], said, write_floor(KEYS[1], floor, ARGV[9]) }
end
if said == 'unchanged' and started < floor.started then
  -- A later fetch has confirmed the same: its times stay, unless its body is gone.
  redis.call('SET', KEYS[3], ARGV[7], 'PX', ARGV[8], 'NX')
else
  redis.call('SET', KEYS[3], ARGV[7], 'PX', ARGV[8])
  floor.last = ARGV[12]
end
floor.updated_at = later(floor.updated_at, version)
floor.kind, floor.digest = kind, digest
floor.started = later(floor.started, started)
if doubt and (doubt.trusts_next or started >= doubt.first) then redis.call('DEL', KEYS[4]) end
return { time[1], time[2], said, write_floor(KEYS[1], floor, ARGV[9]) }
