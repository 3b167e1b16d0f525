-- Prelude of the scripts on floors (a floor is the record of a key's versions). It reads and writes the records of records.py, and applies events to a floor that has not seen them. An event here is the invalidation of a training.
-- The prelude also has the doubt, a record beside a floor. It tells which answers were refused for their version (see core/cache/version_verdict.py).
-- Times have 16 digits (microseconds), versions 21 digits. They are compared as text, never as numbers.

local NO_VERSION = string.rep('0', 21)
local NO_DIGEST = string.rep('-', 32)
local NEVER = string.rep('0', 16)

local function now()
  local time = redis.call('TIME')
  return time, string.format('%010d%06d', time[1], time[2])
end

local function later(a, b)
  if a > b then return a end
  return b
end

-- A value of another type counts as absent, and is overwritten. Otherwise each call would fail as long as the value
-- exists.
local function get(key)
  local raw = redis.pcall('GET', key)
  return type(raw) == 'string' and raw or nil
end

-- nil if there is no floor, or if it breaks the rules of records.py. In these cases the floor is unknown. `last` has
-- the bytes after the fixed part: the status, header fields and times of the answer with that digest (see
-- key_state.py).
local function read_floor(key)
  local raw = get(key)
  if not raw or #raw < 128 then return nil end
  local epoch, generation, updated_at, kind, digest, started, seen =
    string.match(string.sub(raw, 1, 128), '^([0-9a-f]+) 00000(%d+) (%d+) ([vn-]) ([0-9a-f-]+) (%d+) (%d+)$')
  if not epoch or #epoch ~= 16 or #generation ~= 15 or #updated_at ~= 21 then return nil end
  if #digest ~= 32 or #started ~= 16 then return nil end
  if digest ~= NO_DIGEST and string.find(digest, '-', 1, true) then return nil end
  return {
    epoch = epoch, generation = tonumber(generation), updated_at = updated_at, kind = kind,
    digest = digest, started = started, seen = seen, last = string.sub(raw, 129),
  }
end

local function new_floor(epoch)
  return {
    epoch = epoch, generation = 0, updated_at = NO_VERSION, kind = '-',
    digest = NO_DIGEST, started = NEVER, seen = NEVER, last = '',
  }
end

local function write_floor(key, floor, keep)
  local raw = string.format('%s %020.0f %s %s %s %s %s', floor.epoch, floor.generation,
    floor.updated_at, floor.kind, floor.digest, floor.started, floor.seen)
  -- `last` is joined, because string.format would end it at a zero byte.
  if floor.digest ~= NO_DIGEST then raw = raw .. floor.last end
  redis.call('SET', key, raw, 'PX', keep)
  return raw
end

-- The fields of an event: `serial` is the time of the last event of any kind. `all` is the time of the last hard event
-- without a version, `at` the time of the last hard event with a version, and `bound` the latest version of all hard
-- events. `soft`, `soft_at` and `soft_bound` tell of soft events what `all`, `at` and `bound` tell of hard ones. If
-- there was no soft event, the record ends before these three fields.
local function read_event(key)
  local raw = get(key)
  if not raw then return nil end
  if #raw == 72 then raw = table.concat({ raw, NEVER, NO_VERSION, NEVER }, ' ') end
  if #raw ~= 128 then return nil end
  local serial, all, bound, at, soft, soft_bound, soft_at =
    string.match(raw, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not serial or #serial ~= 16 or #all ~= 16 or #bound ~= 21 or #at ~= 16 then return nil end
  if #soft ~= 16 or #soft_bound ~= 21 then return nil end
  -- The next serial must have 16 digits, and be exact as a double.
  if serial >= '9' then return nil end
  return {
    serial = serial, all = all, bound = bound, at = at, soft = soft, soft_bound = soft_bound, soft_at = soft_at,
  }
end

local function write_event(key, event, keep)
  local fields = { event.serial, event.all, event.bound, event.at }
  if event.soft ~= NEVER or event.soft_at ~= NEVER then
    fields[5], fields[6], fields[7] = event.soft, event.soft_bound, event.soft_at
  end
  redis.call('SET', key, table.concat(fields, ' '), 'PX', keep)
end

-- The event for a training without a known event. A lost event may have ruled out everything until now, so the event
-- that is made here does so too.
local function unknown_event()
  local time = redis.call('TIME')
  local before = string.format('%016.0f', time[1] * 1000000 + time[2] - 1)
  return {
    serial = before, all = before, bound = NO_VERSION, at = NEVER, soft = NEVER, soft_bound = NO_VERSION, soft_at = NEVER,
  }
end

-- Whether an order without a version came after `since`. An event whose `all` equals `at` was made without an order, for
-- a training of which nothing was stored.
local function was_ordered(event, since)
  if not event then return false end
  return event.soft > since or (event.all > since and event.all ~= event.at)
end

-- As in core/cache/entry: a hard event without a version adds 1 to a generation, and a soft event without a version
-- adds SOFT, so that both can be told apart. When a version is forgotten, or a refused answer is believed, a new era
-- begins. A new era has no events yet.
local SOFT = 1000000
local ERA = 1000 * SOFT

local function era(generation)
  return math.floor(generation / ERA)
end

local function begin_era(floor)
  floor.generation = (era(floor.generation) + 1) * ERA
end

-- From now on no version below this one is accepted. A 404 or 410 is accepted only if its fetch began at `at` or later.
local function raise(floor, version, at)
  floor.updated_at, floor.kind, floor.digest = version, '-', NO_DIGEST
  floor.started = later(floor.started, at)
end

-- Marks a floor that was raised above the stored version. The stored version, which may be used for rescue, follows.
local RAISED = '\3'

local function raised_from(floor)
  return floor.kind == 'v' and string.match(floor.last, '^' .. RAISED .. '(%d+)$') or nil
end

-- As `raise`, but the stored version may still be used for rescue, if rescue was allowed before.
local function raise_softly(floor, version, at)
  if floor.kind ~= 'v' then return raise(floor, version, at) end
  if not raised_from(floor) then floor.last = RAISED .. floor.updated_at end
  floor.updated_at, floor.started = version, later(floor.started, at)
end

-- If the time of the last accepted answer is more than a minute in the future, Redis' clock was set back (also by a
-- failover). A fetch takes less time, so a fetch that did not begin in the future began after that, and is the later one.
-- The time of an order stays: times of orders go on ascending, so they can be in the future at once.
local function forget_another_clock(floor, started, stamp)
  if floor.digest == NO_DIGEST or raised_from(floor) then return end
  local limit = string.format('%016.0f', tonumber(stamp) + 60000000)
  if floor.started > limit and started <= stamp then floor.started = NEVER end
end

-- Whether an order for the versions below `bound` raises the floor. The order says that the version `bound` exists. So a
-- 404 or 410 that came after this version is ruled out too, although the known version stays the same.
local function is_raised_by(floor, bound)
  local ends_negative = floor.kind == 'n' and bound == floor.updated_at and bound > NO_VERSION
  return bound > floor.updated_at or ends_negative
end

local function absorb_bound(floor, event)
  local stored = raised_from(floor)
  if is_raised_by(floor, event.bound) then
    raise(floor, event.bound, event.at)
  elseif stored and event.bound > stored then
    raise(floor, floor.updated_at, event.at)
  end
end

-- One step of the generation is enough for several events. No fetch began between these events, because the begin of a
-- fetch applies all earlier events. If a serial went back, the record was lost and the clock was set back. In that case
-- every event counts as new, which is safe. Returns true if all that was stored is ruled out, even for rescue. In that
-- case the calling function deletes the body.
local function absorb(floor, event)
  if not event or event.serial == floor.seen then return false end
  local went_back = floor.seen > event.serial
  local struck = went_back or event.all > floor.seen
  if went_back or event.at > floor.seen then absorb_bound(floor, event) end
  if (went_back or event.soft_at > floor.seen) and is_raised_by(floor, event.soft_bound) then
    raise_softly(floor, event.soft_bound, event.soft_at)
  end
  if struck then
    floor.generation = floor.generation + 1
  elseif event.soft > floor.seen then
    floor.generation = floor.generation + SOFT
  end
  floor.seen = event.serial
  return struck
end

-- Applies the stored event to the floor. The event's record expires no earlier than the floor. If there is no event,
-- one is made, so that the loss of an event's record is always noticed. A floor that has seen no event has no body yet,
-- so the new event does not apply to it, and is marked as no order (see `was_ordered`).
local function absorb_at(floor, key, keep)
  local event = read_event(key)
  if not event then
    event = unknown_event()
    if floor.seen == NEVER then floor.seen, event.at = event.serial, event.all end
    write_event(key, event, keep)
  elseif redis.call('PTTL', key) < tonumber(keep) then
    redis.call('PEXPIRE', key, keep)
  end
  return absorb(floor, event)
end

-- The floor with all events applied, and its record. If there is no floor, one is made. It lasts for as long as a fetch may take. When an answer is stored, the floor gets a longer expiry.
local function begin_fetch(floor_key, event_key, body_key, epoch, keep)
  local known = read_floor(floor_key)
  local floor = known or new_floor(epoch)
  local left = known and redis.call('PTTL', floor_key) or 0
  local lasts = math.max(left, tonumber(keep))
  if absorb_at(floor, event_key, lasts) then redis.call('DEL', body_key) end
  if not known then floor.generation = 0 end
  return floor, write_floor(floor_key, floor, lasts)
end

local ENOUGH = 3
local TRUST = 'trust'  -- left by a drop: the next answer is accepted, however far ahead its version is

-- nil if there is no doubt that can be read.
local function read_doubt(key)
  local raw = get(key)
  if not raw then return nil end
  if raw == TRUST then return { trusts_next = true } end
  local version, digest, answers, first, last =
    string.match(raw, '^(%d+) (%x+) (%d) (%d+) (%d+)$')
  if not version or #raw ~= 90 then return nil end
  return {
    version = version, digest = digest, answers = tonumber(answers), first = first, last = last,
  }
end

local function write_doubt(key, doubt, keep)
  local raw = string.format('%s %s %d %s %s',
    doubt.version, doubt.digest, doubt.answers, doubt.first, doubt.last)
  redis.call('SET', key, raw, 'PX', keep)
end

-- The doubt after another refused answer. `known` is the latest known version.
local function weigh(doubt, known, version, digest, started)
  local new = { version = version, digest = digest, answers = 1, first = started, last = started }
  if not doubt or doubt.trusts_next then return new end
  if started <= doubt.last then return doubt end
  local same = version == doubt.version and digest == doubt.digest
  local same_side = (version > known) == (doubt.version > known)
  if same or (same_side and version > doubt.version) then
    new.answers, new.first = math.min(doubt.answers + 1, ENOUGH), doubt.first
  end
  return new
end

local function is_believed(doubt, believe_after)
  local over = tonumber(doubt.last) - tonumber(doubt.first)
  return doubt.answers >= ENOUGH and over >= tonumber(believe_after)
end
