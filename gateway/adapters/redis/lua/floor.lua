-- Prelude of the scripts on floors: reads and writes the records of records.py, and applies to a floor the events that it has not seen.
-- Also the doubt beside it: what is remembered of answers that were refused for their version, as core/cache/version_verdict.py says.
-- Times are 16 digits (microseconds), versions 21: compared as text, never as numbers.

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

-- What is of another type than ours is nothing, and written over: an error would last as long as it.
local function get(key)
  local raw = redis.pcall('GET', key)
  return type(raw) == 'string' and raw or nil
end

-- nil where there is none that we can read (as records.py): the floor is unknown then. `last` is what the answer
-- with that digest brought beside its body: bytes of key_state.py, behind the fixed part.
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
  -- Joined and not formatted: a format cuts short strings at a zero byte.
  if floor.digest ~= NO_DIGEST then raw = raw .. floor.last end
  redis.call('SET', key, raw, 'PX', keep)
  return raw
end

-- serial: the last event; all: the last one without a bound; at: the last one with a bound; bound: the latest
-- version that any asked for. soft, soft_bound, soft_at: the same three of events that leave bodies for rescue, which
-- count in none of the others; without one the record ends before them. Serials are the time of the event.
local function read_event(key)
  local raw = get(key)
  if not raw then return nil end
  if #raw == 72 then raw = table.concat({ raw, NEVER, NO_VERSION, NEVER }, ' ') end
  if #raw ~= 128 then return nil end
  local serial, all, bound, at, soft, soft_bound, soft_at =
    string.match(raw, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not serial or #serial ~= 16 or #all ~= 16 or #bound ~= 21 or #at ~= 16 then return nil end
  if #soft ~= 16 or #soft_bound ~= 21 then return nil end
  -- One more must stay within the digits, and exact as a double.
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

-- For a training of which no event is known: one that ruled out everything until now may have been lost.
local function unknown_event()
  local time = redis.call('TIME')
  local before = string.format('%016.0f', time[1] * 1000000 + time[2] - 1)
  return {
    serial = before, all = before, bound = NO_VERSION, at = NEVER, soft = NEVER, soft_bound = NO_VERSION, soft_at = NEVER,
  }
end

-- As in core/cache/entry: an event that leaves nothing to rescue adds one to a generation, a soft one so many that both
-- can be told. What forgot or took back a version begins another era, with no event in it.
local SOFT = 1000000
local ERA = 1000 * SOFT

local function era(generation)
  return math.floor(generation / ERA)
end

local function begin_era(floor)
  floor.generation = (era(floor.generation) + 1) * ERA
end

-- Takes nothing below that version any more, nor a negative answer to an earlier call.
local function raise(floor, version, at)
  floor.updated_at, floor.kind, floor.digest = version, '-', NO_DIGEST
  floor.started = later(floor.started, at)
end

-- Of a floor that was raised above the version that is stored, which may rescue: that version.
local RAISED = '\3'

local function raised_from(floor)
  return floor.kind == 'v' and string.match(floor.last, '^' .. RAISED .. '(%d+)$') or nil
end

-- The same, but what is stored may rescue, if it might until now.
local function raise_softly(floor, version, at)
  if floor.kind ~= 'v' then return raise(floor, version, at) end
  if not raised_from(floor) then floor.last = RAISED .. floor.updated_at end
  floor.updated_at, floor.started = version, later(floor.started, at)
end

local function absorb_bound(floor, event)
  local stored = raised_from(floor)
  if event.bound > floor.updated_at then
    raise(floor, event.bound, event.at)
  elseif stored and event.bound > stored then
    raise(floor, floor.updated_at, event.at)
  end
end

-- One step of the generation stands for any number of events: no fetch began between them, or
-- its begin would have applied the earlier ones. A serial that went back means that the record
-- was lost and the clock stepped: the safe side is to take every event for a new one.
-- True where it struck all that was there: its body is to go, and may not even rescue.
local function absorb(floor, event)
  if not event or event.serial == floor.seen then return false end
  local went_back = floor.seen > event.serial
  local struck = went_back or event.all > floor.seen
  if went_back or event.at > floor.seen then absorb_bound(floor, event) end
  if (went_back or event.soft_at > floor.seen) and event.soft_bound > floor.updated_at then
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

-- The same for the event that stands there, which lasts as long as the floor from now on. Where there is none one is
-- made, so that a record of an event that is lost is always missed. A floor that has seen none yet has no body of ours.
local function absorb_at(floor, key, keep)
  local event = read_event(key)
  if not event then
    event = unknown_event()
    write_event(key, event, keep)
    if floor.seen == NEVER then floor.seen = event.serial end
  elseif redis.call('PTTL', key) < tonumber(keep) then
    redis.call('PEXPIRE', key, keep)
  end
  return absorb(floor, event)
end

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

local ENOUGH = 3
local TRUST = 'trust'  -- left by a drop: the next answer is taken, however far ahead its version

-- nil where there is none that we can read.
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

-- The doubt after another refused answer, where `known` is the latest version known.
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
