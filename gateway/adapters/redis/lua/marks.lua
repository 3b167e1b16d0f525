-- Scripts on marks and on slots. The rules are in core/cache/marks.py, and the formats in adapters/redis/marks.py.

local MARK, FACTS, REFUSAL = 94, 230, 38  -- bytes
local NO_VERSION = string.rep('0', 21)

-- '' if there is no such record. A record of another type or length counts as absent, and is overwritten.
local function get(key, length)
  local raw = redis.pcall('GETRANGE', key, 0, length - 1)
  return type(raw) == 'string' and #raw == length and raw or ''
end

-- script: make
-- Promise: returns the mark, which is made if it is missing, and lives for at least `keep` from now.
-- KEYS mark; ARGV new mark, keep (ms).

local time = redis.call('TIME')
local mark = get(KEYS[1], MARK)
if mark == '' then
  mark = ARGV[1]
  redis.call('SET', KEYS[1], mark, 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return { time[1], time[2], mark }

-- script: order
-- Promise: the mark is that after the order, as the function `ordered` makes it.
-- KEYS mark; ARGV new hard, soft and named word, version (zeros: none), 1 if hard, keep (ms).

local time = redis.call('TIME')
local hard, soft, named, version = unpack(ARGV, 1, 4)
local is_hard, bound, hard_bound = ARGV[5] == '1', NO_VERSION, NO_VERSION
local raw = get(KEYS[1], MARK)
local was = { string.match(raw, '^(%x+) (%x+) (%x+) (%d+) (%d+)$') }
if was[1] and not (version == NO_VERSION and is_hard) then
  hard, bound, hard_bound = was[1], was[4], was[5]
  if version == NO_VERSION then named = was[3] else soft = was[2] end
end
if version > bound then bound = version end
if is_hard and version > hard_bound then hard_bound = version end
redis.call('SET', KEYS[1], table.concat({ hard, soft, named, bound, hard_bound }, ' '), 'PX', ARGV[6])
return { time[1], time[2] }

-- script: swap
-- Promise: writes the slot only if mark, facts and refusal are those that the caller read. Returns whether it did.
-- KEYS mark, entry, refusal; ARGV mark, facts and refusal before, the same three after ('' if absent), body ('': the body stays), keep of the entry and keep of the records beside it (ms).

local time = redis.call('TIME')
for n, length in ipairs({ MARK, FACTS, REFUSAL }) do
  if get(KEYS[n], length) ~= ARGV[n] then return { time[1], time[2], 0 } end
end
if ARGV[4] ~= '' then redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[9]) end
if ARGV[7] ~= '' then
  redis.call('SET', KEYS[2], ARGV[5] .. ARGV[7], 'PX', ARGV[8])
elseif ARGV[5] ~= ARGV[2] then
  redis.call('SETRANGE', KEYS[2], 0, ARGV[5])
end
if ARGV[6] == '' then
  redis.call('DEL', KEYS[3])
else
  redis.call('SET', KEYS[3], ARGV[6], 'PX', ARGV[9])
end
return { time[1], time[2], 1 }
