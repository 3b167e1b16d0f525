-- Scripts of the sweep: which replica leads it, how far it has come, and what a page of the list says about a training. compare and take_back need floor.lua.

-- script: take
-- Promise: at most one replica at a time leads the sweep of a partition, and all replicas see how far it has come. All replicas also see whether callers of any replica have read from the partition lately.
-- KEYS lead, progress, reads; ARGV token, lifetime (ms), 1 if callers of this replica have read from the partition, how long such a read counts (ms).

local time = redis.call('TIME')
local stamp = string.format('%010d%06d', time[1], time[2])
if ARGV[3] == '1' then redis.call('SET', KEYS[3], '1', 'PX', ARGV[4]) end
local leader = redis.pcall('GET', KEYS[1])
local leads = not leader or type(leader) ~= 'string' or leader == ARGV[1]
if leads then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
local progress = redis.pcall('GET', KEYS[2])
if type(progress) ~= 'string' then progress = '' end
return { time[1], time[2], leads and 1 or 0, progress, redis.call('EXISTS', KEYS[3]), stamp }

-- script: advance
-- Promise: only the leader moves the sweep on. Returns how many different trainings the sweep has met, and which trainings are missing. A training is missing if the last complete sweep met it between the trainings of this page (and the last one of the page before), and this sweep has not met it. Only the first 400 trainings of the last complete sweep in this range are looked at. The record of the trainings that were stored from the list is kept as long as pages come.
-- KEYS lead, progress, met, known, filled; ARGV token, progress, keep (ms), keep of the filled (ms), row of the first item, 1 if no page follows, last training of the page before, the items.

local token, progress, keep, keep_filled, first, is_last, anchor = unpack(ARGV, 1, 7)
local FIRST_ITEM = 8
local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= token then return { time[1], time[2], 0, 0 } end
-- A value of another type is deleted. Otherwise each call would fail as long as the value exists.
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
for at = FIRST_ITEM, #ARGV do
  redis.call('ZADD', KEYS[3], tonumber(first) + at - FIRST_ITEM, ARGV[at])
  widen(ARGV[at])
end
if first == '0' then low = '-inf' end
if is_last == '1' then high = '+inf' end

local absent = {}
if low and high then
  -- After many rows have moved, many trainings look missing. Trainings beyond the first 400 need no call, because an
  -- entry that the sweep has not met is not fresh beyond its bound (Horizon in staleness_bound.py).
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], low, high, 'LIMIT', 0, 400)) do
    if not redis.call('ZSCORE', KEYS[3], id) then absent[#absent + 1] = id end
  end
end
redis.call('SET', KEYS[2], progress, 'PX', keep)
redis.call('PEXPIRE', KEYS[3], keep)
redis.call('PEXPIRE', KEYS[4], keep)
redis.call('PEXPIRE', KEYS[5], keep_filled)
return { time[1], time[2], 1, redis.call('ZCARD', KEYS[3]), unpack(absent) }

-- script: note
-- Promise: only the leader notes the progress. When a complete sweep ends, the trainings that it met become the known ones, all in one step.
-- KEYS lead, progress, met, known; ARGV token, progress, keep (ms), `complete`, `incomplete`, or empty if the sweep has not ended.

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if ARGV[4] == 'complete' and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('RENAME', KEYS[3], KEYS[4])
  redis.call('PEXPIRE', KEYS[4], ARGV[3])
elseif ARGV[4] ~= '' then
  redis.call('DEL', KEYS[3])
end
return { time[1], time[2], 1 }

-- script: release
-- Promise: ends the lead of this replica, and never the lead of another replica.
-- KEYS lead; ARGV token.

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
return { time[1], time[2], redis.call('DEL', KEYS[1]) }

-- script: compare
-- Promise: what the list says about a training counts only if nothing was learnt or ordered about that training since the page was asked for. If the list has the known version, this version is confirmed as of that moment, and its body stays. If the list has a later version, the floor is raised. The stored body is then below the floor, and may only be used for rescue. Each page with the later version returns `newer` until a single answer has confirmed it.
-- KEYS of each training: floor, event, body, doubt; ARGV keep of the body (ms), keep of the floor (ms), and of each training: version, time of the page, 1 if the version is far ahead, what is renewed (key_state.py). Returns of each training the verdict, the record of the floor, and 1 if it has a body.

local KEYS_EACH, ARGS_EACH, ARGS_BEFORE = 4, 4, 2
local keep, floor_keep = ARGV[1], ARGV[2]
local time, stamp = now()
local LISTED, LENGTH = '\2', 109

local function verdict(floor, version, started, is_ahead)
  -- This check comes first, even if there was an order, because there is nothing to rule out. A store needs a ticket
  -- anyway.
  if floor.kind == '-' and floor.updated_at == NO_VERSION then return 'unknown' end
  if floor.seen > started or started < floor.started then return 'passed' end
  if floor.kind == 'n' and started == floor.started then return 'passed' end
  if floor.kind == '-' and version <= floor.updated_at then return 'unknown' end
  if version < floor.updated_at or (is_ahead == '1' and version > floor.updated_at) then
    return 'doubtful'
  end
  if floor.kind == 'v' and version == floor.updated_at and not raised_from(floor) then return 'confirmed' end
  return 'newer'
end

local function compare(keys, version, started, is_ahead, renewed)
  local floor_key, event_key, body_key, doubt_key = unpack(keys)
  local floor = read_floor(floor_key)
  if not floor then return 'unknown', '', 0 end
  if absorb_at(floor, event_key, floor_keep) then redis.call('DEL', body_key) end
  forget_another_clock(floor, started, stamp)
  local said = verdict(floor, version, started, is_ahead)
  local held = redis.call('EXISTS', body_key)
  if said == 'confirmed' then
    local last = floor.last
    if string.sub(last, 1, 1) == LISTED then last = string.sub(last, LENGTH + 1) end
    floor.last = LISTED .. string.format('%015.0f', floor.generation) .. renewed .. last
    floor.started = started
    redis.call('PEXPIRE', body_key, keep)
    local doubt = read_doubt(doubt_key)
    if doubt and not doubt.trusts_next and started >= doubt.first then redis.call('DEL', doubt_key) end
  elseif said == 'newer' then
    -- After a negative answer nothing stored may stay fresh. A stored older version may be used for rescue.
    if floor.kind ~= 'v' then floor.kind, floor.digest, floor.started = '-', NO_DIGEST, started end
    if not raised_from(floor) then floor.last = RAISED .. floor.updated_at end
    floor.updated_at = version
  else
    return said, redis.call('GET', floor_key), held
  end
  return said, write_floor(floor_key, floor, floor_keep), held
end

local reply = { time[1], time[2] }
for at = 0, #KEYS / KEYS_EACH - 1 do
  local keys = { unpack(KEYS, at * KEYS_EACH + 1, (at + 1) * KEYS_EACH) }
  local first = ARGS_BEFORE + at * ARGS_EACH
  local said, record, held = compare(keys, unpack(ARGV, first + 1, first + ARGS_EACH))
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = said, record, held
end
return reply

-- script: take_back
-- Promise: forgets a version that only the list claimed, so that the stored response may be served as before, or the version of a later soft order counts. Does nothing if a single answer came since, if an order asked for that version or a later one, or if an order may have been lost. Returns 1 also if the version was forgotten before: the reply may have been lost.
-- KEYS floor, event; ARGV version, keep of the floor (ms).

local version, floor_keep = unpack(ARGV)
local time = now()

local floor, event = read_floor(KEYS[1]), read_event(KEYS[2])
local stored = floor and raised_from(floor)
if floor and floor.kind == 'v' and floor.updated_at < version
  and (not stored or event and event.soft_bound == floor.updated_at) then
  return { time[1], time[2], 1 }
end
if not stored or #stored ~= 21 or floor.updated_at ~= version then
  return { time[1], time[2], 0 }
end
if not event or later(event.bound, event.soft_bound) >= version then return { time[1], time[2], 0 } end
if event.soft_bound > stored and event.soft_at >= floor.started then
  floor.updated_at, floor.started = event.soft_bound, later(floor.started, event.soft_at)
else
  floor.updated_at, floor.last = stored, ''
end
write_floor(KEYS[1], floor, floor_keep)
return { time[1], time[2], 1 }
