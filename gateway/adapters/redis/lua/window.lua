-- Prelude of the scripts on budgets: the clock, the gate that a 429 closes, and the window. The rules are those of
-- core/budget/window_log and core/budget/priority.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

local function now()
  local time = redis.call('TIME')
  return time, time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

-- Seconds after which each gate has reopened, with a margin for a clock that was set back. A gate that is closed for
-- longer was closed by something else, or on another clock. It counts as open.
local LONGEST = 2 * 60 * 60

-- Deletes a value of another type. Otherwise each call would fail as long as it exists.
local function make_room(key, kind)
  if redis.call('TYPE', key).ok ~= kind then redis.call('DEL', key) end
end

-- nil while the gate is open. `probe` is the stamp of the call whose answer is awaited, 0 if there is none.
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

-- The log has the time of each call of the last window, and of each call that was granted for later. It is never empty:
-- an absent log is one that was lost. Each rank has a log of its own as well.
-- The book has the time when each rank was last refused, a lowered limit, the life of the log, the time when that began,
-- how many replicas knew the life before, and the time when the log was born: earlier calls in it are made up. Under `r`
-- and its name it has what each replica knows, under `p` and its name the replica's part of the full limit.

-- Two calls that are granted for the same microsecond get different stamps.
local function charge(logs, when, keep)
  while redis.call('ZSCORE', logs[1], text(when)) do when = when + 1 end
  for _, log in ipairs(logs) do
    redis.call('ZADD', log, text(when), text(when))
    redis.call('PEXPIRE', log, keep)
  end
  return when
end

-- Writes stamps that differ into an empty log. It uses few commands, because Redis does nothing else meanwhile.
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

-- A number in the book. A value that is not a number counts as absent.
local function read_book(book, field)
  local raw = redis.call('HGET', book, field)
  return raw and tonumber(string.match(raw, '^%d+$'))
end

local function write_book(book, field, when, keep)
  redis.call('HSET', book, field, text(when))
  redis.call('PEXPIRE', book, keep)
end

-- How a limit is lowered by refusals, and recovers. The numbers are those of core/budget/window_log.
local HOLD, STEPS, LEAST, KEPT = 10, 20, 10, 0.8

-- The limit that holds now. `season`: the window of the rate, in whose steps the limit recovers.
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

-- The life of the log. It is nil or false if nothing is known of the past.
local function life_of(log, book)
  return redis.call('ZCARD', log) > 0 and read_book(book, 'life')
end

-- A time of long ago.
local NEVER = 1

-- What the book says about a replica: the time of the last look that it has reported, the time of the look that told it
-- its claim, and how many calls of that claim it may still make without asking.
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

-- A part of the full limit, scaled to the limit that holds now.
local function part_of(part, full, limit)
  return part > 0 and math.max(1, math.floor(part * limit / full)) or 0
end

-- A silent replica may only be slow until it has been silent for SLOW times `silent`.
local SLOW = 3

-- How much of the limit is kept for the other replicas: the calls that each may make without asking. For a replica that
-- was heard lately that is its claim. For one that was not heard for `silent` it is its part, or an equal part if it has
-- none yet, or if its release has none. If all others are silent, an equal part is left for this replica. A replica that
-- was not heard for `gone` is forgotten.
-- Also returns how many replicas there are, whether all that knew the life before have reported what they spent in it,
-- whether a silent replica may only be slow, how many are silent, and the sum of the other replicas' parts of `full`.
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

-- Whether a call may go at that time. `window` is a table: log, ranks (the names of their logs), book, limit, span, rank
-- (the rank of the call), and floors, ceilings and always (of each rank).
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

-- The first moment at which a call may go. A call that may go at one moment may go at each later moment.
local function turn_of(window, at)
  if may_go(window, at) then return at end
  local low = redis.call('ZCOUNT', window.log, '-inf', text(at - window.span))
  local high = redis.call('ZCARD', window.log) - 1
  local function ends(n)
    -- By its score: a member that is not a number of ours still counts until it leaves the window.
    return (tonumber(redis.call('ZRANGE', window.log, n, n, 'WITHSCORES')[2]) or at) + window.span
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if may_go(window, ends(middle)) then high = middle else low = middle + 1 end
  end
  return ends(low)
end
