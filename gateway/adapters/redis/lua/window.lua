-- Prelude of the scripts on budgets: the clock, the gate that a 429 closes, and the window, by the same rules as
-- core/budget/window_log and core/budget/priority.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

local function now()
  local time = redis.call('TIME')
  return time, time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

-- Seconds in which each gate reopens, with room for a clock that was set back: one that stays
-- closed for longer was not closed by us, or not by this clock.
local LONGEST = 2 * 60 * 60

-- Room for what is of this type: an error would last as long as what stands there.
local function make_room(key, kind)
  if redis.call('TYPE', key).ok ~= kind then redis.call('DEL', key) end
end

-- nil while it is open. `probe` is the stamp of the call whose answer is awaited, 0 for none.
local function read_gate(key, at)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' then return nil end
  local closed_until, probe, refusals = string.match(raw, '^(%d+) (%d+) (%d+)$')
  if not closed_until or tonumber(closed_until) > at + LONGEST * 1000000 then return nil end
  return {
    closed_until = tonumber(closed_until), probe = tonumber(probe), refusals = tonumber(refusals),
  }
end

local function write_gate(key, gate, keep)
  local raw = table.concat({ text(gate.closed_until), text(gate.probe), gate.refusals }, ' ')
  redis.call('SET', key, raw, 'PX', keep)
end

-- The log has the time of each call of the last window, those granted for later included, and is
-- never empty, so that one that was lost is told from it; beside it stands one log for each rank.
-- The book has when each rank was last refused, what was learnt of the limit, when the log was born
-- (what stands in it from before is made up), which life of the log it is, since when, and how many
-- replicas knew the life before; and by r and its name what each replica knows, by p and its name its
-- part of the full limit.

-- Two who are granted the same microsecond are two calls.
local function charge(logs, when, keep)
  while redis.call('ZSCORE', logs[1], text(when)) do when = when + 1 end
  for _, log in ipairs(logs) do
    redis.call('ZADD', log, text(when), text(when))
    redis.call('PEXPIRE', log, keep)
  end
  return when
end

-- Stamps that differ, into an empty log: few commands, since all wait meanwhile.
local AT_ONCE = 1000

local function charge_all(log, stamps, keep)
  for first = 1, #stamps, AT_ONCE do
    local scored = {}
    for n = first, math.min(first + AT_ONCE - 1, #stamps) do
      table.insert(scored, stamps[n])
      table.insert(scored, stamps[n])
    end
    redis.call('ZADD', log, unpack(scored))
  end
  if #stamps > 0 then redis.call('PEXPIRE', log, keep) end
end

local function later(log, since)
  return redis.call('ZCOUNT', log, '(' .. text(since), '+inf')
end

-- A number of the book; what is none counts as absent.
local function read_book(book, field)
  local raw = redis.call('HGET', book, field)
  return raw and tonumber(string.match(raw, '^%d+$'))
end

local function write_book(book, field, when, keep)
  redis.call('HSET', book, field, text(when))
  redis.call('PEXPIRE', book, keep)
end

-- What holds of the limit after refusals: as core/budget/window_log has it.
local HOLD, STEPS, LEAST, KEPT = 10, 20, 10, 0.8

-- `season`: the window by which it recovers.
local function lowered(book, limit, season, at)
  local low, since = read_book(book, 'limit'), read_book(book, 'lowered')
  if not low or not since then return limit end
  local windows = math.max(0, math.floor((at - since) / season) - HOLD)
  return math.max(1, math.min(limit, low + windows * math.max(1, math.floor(limit / STEPS))))
end

local function lower(book, limit, at, keep)
  write_book(book, 'limit', limit, keep)
  write_book(book, 'lowered', at, keep)
end

-- The life of the log; nil where nothing is known of the past.
local function life_of(log, book)
  return redis.call('ZCARD', log) > 0 and read_book(book, 'life')
end

-- A time of long ago.
local NEVER = 1

-- What the book has of a replica: when what it saw last was, the look that told it its claim, how
-- many calls it may still make by that without asking.
local function read_replica(raw)
  local seen, told, claim = string.match(raw or '', '^(%d+) (%d+) (%d+)$')
  return tonumber(seen) or 0, tonumber(told) or 0, tonumber(claim) or 0
end

local function write_replica(book, name, seen, told, claim)
  redis.call('HSET', book, 'r' .. name, table.concat({ text(seen), text(told), text(claim) }, ' '))
end

local function equal_part(limit, replicas)
  return math.max(1, math.floor(limit / replicas))
end

-- A part of the full limit, of what holds of that.
local function part_of(part, full, limit)
  return part > 0 and math.max(1, math.floor(part * limit / full)) or 0
end

-- So many times as long as makes a replica silent it may only be slow.
local SLOW = 3

-- What of the limit is kept for all replicas but that one: what each may spend without asking, which
-- is its part once it was not heard for `silent`, or an equal one if it has none (yet, or by its release);
-- if all of them are silent, an equal part is left. Those not heard for `gone` are forgotten. Also how
-- many replicas there are, whether all who knew the life before have told what they spent in it, whether
-- one is silent that was heard a moment ago, and so may only be slow, how many are silent, and the parts
-- of all of them, of the `full` limit.
local function kept_for_others(book, full, limit, at, silent, gone, name)
  local here, quiet, claims, heard, parts, unknown, is_slow = 1, 0, 0, 0, 0, 0, false
  local raw = redis.call('HGETALL', book)
  for n = 1, #raw, 2 do
    if string.sub(raw[n], 1, 1) == 'r' and raw[n] ~= 'r' .. name then
      local whose = string.sub(raw[n], 2)
      local seen, _, claim = read_replica(raw[n + 1])
      if at - seen > gone then
        redis.call('HDEL', book, raw[n], 'p' .. whose)
      else
        local part = read_book(book, 'p' .. whose) or 0
        here = here + 1
        if at - seen > silent then
          quiet, parts, unknown = quiet + 1, parts + part, unknown + (part > 0 and 0 or 1)
        else
          claims, heard = claims + claim, heard + part
        end
        is_slow = is_slow or (at - seen > silent and at - seen <= SLOW * silent)
      end
    end
  end
  local expected = at < (read_book(book, 'since') or 0) + gone and read_book(book, 'expected') or 0
  local all = math.max(1, here, expected)
  local missing, equal = math.max(0, expected - here), equal_part(full, all)
  parts = math.min(full - equal, parts + (missing + unknown) * equal)
  local kept = math.min(limit - 1, part_of(parts, full, limit) + claims)
  return math.max(0, kept), all, here >= expected, is_slow, quiet + missing, heard + parts
end

-- `window` is a table: log, ranks (the logs' names), book, limit, span, rank (which one asks),
-- floors, ceilings, always (of each rank).
local function may_go(window, at)
  local since, spent = at - window.span, {}
  for n, log in ipairs(window.ranks) do spent[n] = later(log, since) end
  local own = spent[window.rank]
  if own >= window.ceilings[window.rank] then return false end
  local kept, is_below = 0, own < window.floors[window.rank]
  for n, floor in ipairs(window.floors) do
    local refused = not is_below and read_book(window.book, n) or 0
    if n ~= window.rank and (window.always[n] or refused > since) then
      kept = kept + math.max(0, floor - spent[n])
    end
  end
  return later(window.log, since) + kept < window.limit
end

-- The first moment at which a call may go: what may go at one moment may go at each later one.
local function turn_of(window, at)
  if may_go(window, at) then return at end
  local low = redis.call('ZCOUNT', window.log, '-inf', text(at - window.span))
  local high = redis.call('ZCARD', window.log) - 1
  local function ends(n)
    -- By its score: what is no number of ours as a member counts all the same, until it lapses.
    return (tonumber(redis.call('ZRANGE', window.log, n, n, 'WITHSCORES')[2]) or at) + window.span
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if may_go(window, ends(middle)) then high = middle else low = middle + 1 end
  end
  return ends(low)
end
