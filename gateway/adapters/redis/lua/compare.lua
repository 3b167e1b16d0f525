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
