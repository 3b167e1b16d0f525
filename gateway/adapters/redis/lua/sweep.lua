-- Scripts of the sweep: which replica leads it, how far it has come, and what a page of the list says about a training. compare needs floor.lua.

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

-- script: note
-- Promise: only the leader notes the progress.
-- KEYS lead, progress; ARGV token, progress, keep (ms).

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return { time[1], time[2], 1 }

-- script: compare
-- Promise: what the list says about a training counts only if nothing was learnt or ordered about that training since the moment for which the page speaks. If the list has the known version, this version is confirmed as of that moment, and its body stays. An order without a version is ended by a single answer, never by a page. No floor is raised.
-- KEYS of each training: floor, event, body; ARGV keep of the body (ms), keep of the floor (ms), keep of a floor without a stored body (ms), 1 if items can be stored, epoch of new floors, and of each training: version, moment of the page, 1 if the version is far ahead, what is renewed (key_state.py). Returns of each training the verdict, the record of the floor, and 1 if it has a body.

local KEYS_EACH, ARGS_EACH, ARGS_BEFORE = 3, 4, 5
local keep, floor_keep, fetch_keep, stores, epoch = unpack(ARGV, 1, ARGS_BEFORE)
local time, stamp = now()
local LISTED, LENGTH = '\2', 109

local function verdict(floor, version, as_of, is_ahead)
  if floor.started > as_of then return 'passed' end
  if floor.kind == 'n' or version < floor.updated_at then return 'doubtful' end
  if is_ahead == '1' and version > floor.updated_at then return 'doubtful' end
  if floor.kind == '-' and floor.updated_at == NO_VERSION then return 'unknown' end
  if floor.kind == 'v' and version == floor.updated_at and not raised_from(floor) then return 'confirmed' end
  return 'newer'
end

local function compare(keys, version, as_of, is_ahead, renewed)
  local floor_key, event_key, body_key = unpack(keys)
  if not read_floor(floor_key) then
    if was_ordered(read_event(event_key), NEVER) then return 'passed', '', 0 end
    if stores ~= '1' then return 'unknown', '', 0 end
  end
  local floor, record = begin_fetch(floor_key, event_key, body_key, epoch, fetch_keep)
  if was_ordered(read_event(event_key), floor.started) then return 'passed', '', 0 end
  forget_another_clock(floor, as_of, stamp)
  local said, held = verdict(floor, version, as_of, is_ahead), redis.call('EXISTS', body_key)
  if said ~= 'confirmed' then return said, record, held end
  local last = floor.last
  if string.sub(last, 1, 1) == LISTED then last = string.sub(last, LENGTH + 1) end
  floor.last = LISTED .. string.format('%015.0f', floor.generation) .. renewed .. last
  floor.started = as_of
  redis.call('PEXPIRE', body_key, keep)
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
