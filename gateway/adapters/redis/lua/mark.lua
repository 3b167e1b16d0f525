-- Prelude of the scripts on marks and on slots. The rules are in core/cache/marks.py, the formats in records.py.

local MARK, FACTS, REFUSAL = 94, 208, 38  -- bytes
local NO_VERSION = string.rep('0', 21)

-- '' if there is no such record. A record of another type or length counts as absent, and is overwritten.
local function get(key, length)
  local raw = redis.pcall('GETRANGE', key, 0, length - 1)
  return type(raw) == 'string' and #raw == length and raw or ''
end

-- The fields of a mark: three words and two bounds. None if there is no mark that can be read.
local function read_mark(key)
  local hard, soft, named, bound, hard_bound =
    string.match(get(key, MARK), '^([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) (%d+) (%d+)$')
  if not hard or #hard ~= 16 or #soft ~= 16 or #named ~= 16 or #bound ~= 21 then return nil end
  return hard, soft, named, bound, hard_bound
end

-- The record of the mark, which is made if it is missing, and lives for at least `keep` (ms) from now.
local function make_mark(key, new, keep)
  if not read_mark(key) then
    redis.call('SET', key, new, 'PX', keep)
    return new
  end
  if redis.call('PTTL', key) < tonumber(keep) then redis.call('PEXPIRE', key, keep) end
  return get(key, MARK)
end
