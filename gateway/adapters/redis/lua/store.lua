-- Scripts that store the entry of a key, and that invalidate entries. All need floor.lua.

-- script: begin
-- Promise: returns the floor's record, with its epoch and generation, and the time. The script `store` can then tell whether the key was invalidated after this moment. If there is no floor, one is made for as long as a fetch may take. A store gives the floor a longer expiry.
-- KEYS floor, event, body; ARGV epoch of a new floor, keep of a floor without a stored body (ms).

local _, record = begin_fetch(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local time, stamp = now()
return { time[1], time[2], record, stamp }

-- script: store
-- Promise: writes the entry only if epoch and generation are still those with which its fetch began. The script never replaces a later version, nor the same version of a later fetch. A version that went back or is far ahead becomes the known version only after enough answers agreed on it. A version far ahead is also accepted in the first answer after a drop. When a version becomes known because answers agreed, a new generation begins, which no body has yet.
-- KEYS floor, event, body, doubt; ARGV epoch, generation, version, kind (v or n), digest, time of the fetch, envelope, keep of the body (ms), keep of the floor (ms), 1 if the version is far ahead, how long answers have to agree (microseconds), what the answer said beside the body.

local epoch, generation, version, kind, digest, started = unpack(ARGV, 1, 6)
local is_ahead = ARGV[10] == '1'
local time, stamp = now()

local floor = read_floor(KEYS[1])
if not floor then return { time[1], time[2], 'invalidated', '' } end
if absorb_at(floor, KEYS[2], ARGV[9]) then redis.call('DEL', KEYS[3]) end
local doubt = read_doubt(KEYS[4])
forget_another_clock(floor, started, stamp)
local is_later = started >= floor.started

-- A negative entry has no version. Only the times of the fetches tell whether this entry or another one is later.
-- A floor without a kind knows no answer. Such a floor may have a version below which no answer is accepted.
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

-- Notes an answer that was refused for its version, and returns true if that version is believed. An answer is not
-- noted if its fetch began before the fetch of the last answer that counts. If the version is believed, the stored body
-- is deleted, because its generation is over.
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

-- An answer that an order ruled out still proves that its version exists. A caller may get that answer, and must not
-- get an older version afterwards. The answer proves nothing if its fetch began in another era, or if its version may
-- be a mistake.
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
  -- A later fetch has confirmed the same response. The stored body and times stay, unless the body is gone.
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

-- script: drop
-- Promise: nothing that is stored under this key, and no fetch of it in flight, is used as fresh again. The known version is forgotten, so the next answer is accepted whatever its version is. A key without a floor has nothing to forget.
-- KEYS floor, event, body, doubt; ARGV keep of the floor (ms), 1 to leave the body for rescue, if rescue was allowed until now.

local time, stamp = now()
local floor = read_floor(KEYS[1])
if floor then
  local struck = absorb_at(floor, KEYS[2], ARGV[1])
  -- If an order set a version that no answer has reached, the body is ruled out. That version is forgotten below.
  local lost = floor.digest == NO_DIGEST and floor.updated_at > NO_VERSION
  if struck or lost then redis.call('DEL', KEYS[3]) end
  begin_era(floor)
  -- The time of the drop rules out pages of the list that were asked for before it.
  floor.updated_at, floor.kind, floor.digest, floor.started = NO_VERSION, '-', NO_DIGEST, stamp
  write_floor(KEYS[1], floor, ARGV[1])
  redis.call('SET', KEYS[4], TRUST, 'PX', ARGV[1])
end
if ARGV[2] ~= '1' then redis.call('DEL', KEYS[3]) end
return { time[1], time[2], floor and 1 or 0 }

-- script: invalidate_key
-- Promise: all that is stored under this key, and what its fetches in flight will bring, is invalid. If there is no floor, one is made.
-- KEYS floor, event, body; ARGV epoch of a new floor, keep of the floor (ms).

local time = now()
local floor = begin_fetch(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
floor.generation = floor.generation + 1
redis.call('DEL', KEYS[3])
write_floor(KEYS[1], floor, ARGV[2])
return { time[1], time[2] }

-- script: invalidate
-- Promise: versions older than the bound (without a bound: all versions) are invalid in every partition of this training, also in fetches in flight and in partitions without a floor. A soft order leaves bodies for rescue. The record is kept as long as any body may exist.
-- KEYS event; ARGV version of the bound (zeros: none), keep (ms), 1 for a soft order.

local time, serial = now()
local event = read_event(KEYS[1]) or unknown_event()

-- Serials must differ and ascend, also for two events in one microsecond, and after the clock was set back.
if serial <= event.serial then
  serial = string.format('%016.0f', tonumber(event.serial) + 1)
end
event.serial = serial
local soft = ARGV[3] == '1'
if ARGV[1] == NO_VERSION then
  event[soft and 'soft' or 'all'] = serial
else
  local bound = soft and 'soft_bound' or 'bound'
  event[bound] = later(event[bound], ARGV[1])
  event[soft and 'soft_at' or 'at'] = serial
end
write_event(KEYS[1], event, ARGV[2])
return { time[1], time[2] }
