-- Prelude of the scripts on a budget's window: the same rules as core/window and core/ranks.
-- The log has the time of each call of the last window, those granted for later included; beside
-- it stands one log for each rank. The book has when each rank was last refused, what was
-- learnt of the limit, when the log was born (what stands in it from before is made up), which
-- life of the log it is, and until when replicas tell what they saw in the one before.

-- Twice as long as replicas take to see what was lost.
local SETTLES = 2000000

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

-- What holds of the limit after refusals: as core/lowered has it.
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
