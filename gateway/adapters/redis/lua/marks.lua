-- Scripts on marks and on slots. All need mark.lua.

-- script: make
-- Promise: returns the mark, which is made if it is missing, and the time.
-- KEYS mark; ARGV new mark, keep (ms).

local time = redis.call('TIME')
return { time[1], time[2], make_mark(KEYS[1], ARGV[1], ARGV[2]), string.format('%010d%06d', time[1], time[2]) }

-- script: order
-- Promise: the mark is that after the order, as the function `ordered` makes it. Returns whether there was one.
-- KEYS mark; ARGV new hard, soft and named word, version (zeros: none), 1 if hard, keep (ms).

local time = redis.call('TIME')
local hard, soft, named, version = unpack(ARGV, 1, 4)
local is_hard, bound, hard_bound = ARGV[5] == '1', NO_VERSION, NO_VERSION
local was = { read_mark(KEYS[1]) }
if was[1] and not (version == NO_VERSION and is_hard) then
  hard, bound, hard_bound = was[1], was[4], was[5]
  if version == NO_VERSION then named = was[3] else soft = was[2] end
end
if version > bound then bound = version end
if is_hard and version > hard_bound then hard_bound = version end
redis.call('SET', KEYS[1], table.concat({ hard, soft, named, bound, hard_bound }, ' '), 'PX', ARGV[6])
return { time[1], time[2], was[1] and 1 or 0 }

-- script: read
-- Promise: returns of each slot the records of mark, facts and refusal ('' if absent), and 1 if the entry has a body.
-- KEYS of each slot: mark, entry, refusal.

local time = redis.call('TIME')
local reply = { time[1], time[2] }
for at = 1, #KEYS, 3 do
  local entry = KEYS[at + 1]
  reply[#reply + 1], reply[#reply + 2] = get(KEYS[at], MARK), get(entry, FACTS)
  reply[#reply + 1] = get(KEYS[at + 2], REFUSAL)
  reply[#reply + 1] = reply[#reply - 1] ~= '' and redis.call('STRLEN', entry) > FACTS and 1 or 0
end
return reply

-- script: swap
-- Promise: writes the slot only if mark, facts and refusal are those that the caller read. Returns whether it did, and the three records as they were before.
-- KEYS mark, entry, refusal; ARGV mark, facts and refusal before, the same three after ('' if absent), 1 if the body is replaced, body ('' if only the facts are stored), keep of the entry and keep of the records beside it (ms).

local time = redis.call('TIME')
local found, is_same = {}, true
for n, length in ipairs({ MARK, FACTS, REFUSAL }) do
  found[n] = get(KEYS[n], length)
  is_same = is_same and found[n] == ARGV[n]
end
if not is_same then return { time[1], time[2], 0, found[1], found[2], found[3] } end
if ARGV[4] ~= '' then redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[10]) end
if ARGV[7] == '1' then
  redis.call('SET', KEYS[2], ARGV[5] .. ARGV[8], 'PX', ARGV[9])
elseif ARGV[5] ~= ARGV[2] then
  redis.call('SETRANGE', KEYS[2], 0, ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[9])
end
if ARGV[6] == '' then
  redis.call('DEL', KEYS[3])
else
  redis.call('SET', KEYS[3], ARGV[6], 'PX', ARGV[10])
end
return { time[1], time[2], 1, found[1], found[2], found[3] }
