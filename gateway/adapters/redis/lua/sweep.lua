-- Scripts of the sweep: who leads it and how far it has come, and what a page of the list says of a training. compare and take_back need floor.lua.

-- script: take
-- Promise: at any time at most one replica leads the sweep of a partition, and all see how far it has come; whether somebody reads of the partition is known to all for as long as it matters.
-- KEYS lead, progress, reads; ARGV token, lifetime (ms), 1 where callers read here, how long that counts (ms).

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
-- Promise: only who leads moves the sweep on; tells how many different trainings it has met, and which of the last complete one lay between the neighbours on this page and are not there.
-- KEYS lead, progress, met, known; ARGV token, progress, keep (ms), row of the first item, 1 where no page follows, last training of the page before, the items.

local token, progress, keep, first, is_last, anchor = unpack(ARGV, 1, 6)
local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= token then return { time[1], time[2], 0, 0 } end
-- An error would last as long as what stands there.
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
for at = 7, #ARGV do
  redis.call('ZADD', KEYS[3], tonumber(first) + at - 7, ARGV[at])
  widen(ARGV[at])
end
if first == '0' then low = '-inf' end
if is_last == '1' then high = '+inf' end

local absent = {}
if low and high then
  -- Rows that moved about would look like many that are gone; the next complete sweep tells.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], low, high, 'LIMIT', 0, 400)) do
    if not redis.call('ZSCORE', KEYS[3], id) then absent[#absent + 1] = id end
  end
end
redis.call('SET', KEYS[2], progress, 'PX', keep)
redis.call('PEXPIRE', KEYS[3], keep)
redis.call('PEXPIRE', KEYS[4], keep)
return { time[1], time[2], 1, redis.call('ZCARD', KEYS[3]), unpack(absent) }

-- script: note
-- Promise: only who leads says how the sweep stands; the trainings that a complete one met are the known ones from then on, at once and all together.
-- KEYS lead, progress, met, known; ARGV token, progress, keep (ms), `complete`, `incomplete` or empty where no sweep came to its end.

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
-- Promise: the leader of the sweep gives up the lead, and no other replica loses it by that.
-- KEYS lead; ARGV token.

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
return { time[1], time[2], redis.call('DEL', KEYS[1]) }

-- script: compare
-- Promise: what the list says of a training counts only where nothing was learnt of it, and nothing ordered, since the page was asked for; the version known is confirmed as of that moment, its body left where it is, and a later one raises the floor, below which what is stored may rescue and nothing else, and tells so until a single answer has borne it out.
-- KEYS floor, event, body, doubt; ARGV version, time of the page, 1 where the version is far ahead, what is renewed (key_state.py), keep of the body (ms), keep of the floor (ms).

local version, started, is_ahead, renewed, keep, floor_keep = unpack(ARGV)
local time = now()
local LISTED, LENGTH = '\2', 109

local floor = read_floor(KEYS[1])
if not floor then return { time[1], time[2], 'unknown', '', 0 } end
if absorb_at(floor, KEYS[2], floor_keep) then redis.call('DEL', KEYS[3]) end
local is_raised = raised_from(floor)

local function verdict()
  -- Whatever was ordered: there is nothing to rule out, and whoever stores under it shows a ticket.
  if floor.kind == '-' and floor.updated_at == NO_VERSION then return 'unknown' end
  if floor.seen > started or started < floor.started then return 'passed' end
  if floor.kind == 'n' and started == floor.started then return 'passed' end
  if floor.kind == '-' and version <= floor.updated_at then return 'unknown' end
  if version < floor.updated_at or (is_ahead == '1' and version > floor.updated_at) then
    return 'doubtful'
  end
  if floor.kind == 'v' and version == floor.updated_at and not is_raised then return 'confirmed' end
  return 'newer'
end

local said = verdict()
local held = redis.call('EXISTS', KEYS[3])
if said == 'confirmed' then
  local last = floor.last
  if string.sub(last, 1, 1) == LISTED then last = string.sub(last, LENGTH + 1) end
  floor.last = LISTED .. string.format('%015.0f', floor.generation) .. renewed .. last
  floor.started = started
  redis.call('PEXPIRE', KEYS[3], keep)
  local doubt = read_doubt(KEYS[4])
  if doubt and not doubt.trusts_next and started >= doubt.first then redis.call('DEL', KEYS[4]) end
elseif said == 'newer' then
  -- Of what was gone nothing may stay fresh; of an older version what is stored may rescue.
  if floor.kind ~= 'v' then floor.kind, floor.digest, floor.started = '-', NO_DIGEST, started end
  if not is_raised then floor.last = RAISED .. floor.updated_at end
  floor.updated_at = version
else
  return { time[1], time[2], said, redis.call('GET', KEYS[1]), held }
end
return { time[1], time[2], said, write_floor(KEYS[1], floor, floor_keep), held }

-- script: take_back
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
