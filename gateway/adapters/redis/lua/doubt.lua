-- Prelude of the scripts on doubts: what is remembered of answers that were refused for their version, as core/cache/version_verdict.py says.

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
