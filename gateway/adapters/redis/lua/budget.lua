-- Scripts on the budget of one scope (for example a tenant). They grant calls, close the gate after a 429, and open it
-- after another answer. The part above the scripts belongs to all of them: the clock, the gate and the window. The
-- rules are those of core/budget/window_log and core/budget/priority.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

local function now()
  local time = redis.call('TIME')
  return time, time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

-- No 429 closes a gate for longer than this many seconds. A margin for a clock that was set back is included. A gate
-- that is closed for longer was closed by something else, or on another clock. Such a gate counts as open.
local LONGEST = 2 * 60 * 60

-- Deletes a value of another type. Otherwise each call would fail as long as the value exists.
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

-- The log has the time of each call of the last window, and of each call that was granted for later. The log is never
-- empty, so an absent log was lost. The log that replaces it is another life, with another number. Each rank has a log
-- of its own as well.
-- The book has the time when each rank was last refused, a lowered limit, the number of the log's life, the time when
-- this life began, and how many replicas knew the previous life. `born` is a time: older calls in the log are made up.
-- The name of each other field is a letter and the name of a replica. Field `r` has what that replica knows, field `p`
-- its part of the full limit, field `u` the highest number of a call that it has reported in this life. A replica with a field `t` knew the previous life. The field is 1 if the replica has
-- reported what it spent in that life, otherwise 0.

-- Two calls that are granted for the same microsecond get different stamps.
local function charge(logs, when, keep)
  while redis.call('ZSCORE', logs[1], text(when)) do when = when + 1 end
  for _, log in ipairs(logs) do
    redis.call('ZADD', log, text(when), text(when))
    redis.call('PEXPIRE', log, keep)
  end
  return when
end

-- Writes stamps into a log. A stamp that the log already has is not counted twice. Few commands are used, because Redis
-- does nothing else while a script runs.
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

-- The present limit. A season is the window of the rate. A lowered limit stays for HOLD seasons. After these it
-- recovers by one step in each season. If the configured rate has changed since, the lowered limit says nothing any
-- more. The fields `full` and `of` have the limit and the span of that rate (absent: an earlier release lowered it).
local function lowered(book, limit, span, parts, at)
  local low, since, full = read_book(book, 'limit'), read_book(book, 'lowered'), read_book(book, 'full')
  if not low or not since or (full or limit) ~= limit or (read_book(book, 'of') or span) ~= span then return limit end
  local season = span * parts
  local windows = math.max(0, math.floor((at - since) / season) - HOLD)
  return math.max(1, math.min(limit, low + windows * math.max(1, math.floor(limit / STEPS))))
end

local function lower(book, full, span, limit, at, keep)
  write_book(book, 'of', span, keep)
  write_book(book, 'full', full, keep)
  write_book(book, 'limit', limit, keep)
  write_book(book, 'lowered', at, keep)
end

-- The number of the log's life. It is nil or false if nothing is known of the past.
local function life_of(log, book)
  return redis.call('ZCARD', log) > 0 and read_book(book, 'life')
end

-- A time of long ago.
local NEVER = 1

-- Reads field `r` of a replica. `seen` is the time of the last `look` whose reply has certainly reached the replica.
-- `claim` is what is left of its claim, the number of calls that the replica may make without asking. `told` is the
-- time of the `look` whose reply had this claim.
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

-- A part of the full limit, scaled to the present limit.
local function part_of(part, full, limit)
  return part > 0 and math.max(1, math.floor(part * limit / full)) or 0
end

-- A replica that was last heard at most SLOW times `silent` ago may still be alive, and just be slow.
local SLOW = 3

-- How much of the limit is kept for the other replicas: the calls that each may make without asking. For a replica that
-- was heard lately, its claim is kept. For a replica that was not heard for `silent`, its part is kept, or an equal
-- part if the replica has no part yet, or if its release knows no parts. If all others are silent, an equal part is
-- left for this replica. A replica that was not heard for `gone` does not count. Its fields are deleted, unless it
-- still looks and gets no replies: it reports the same calls again and again, and they must count once. A replica is
-- missing if it knew the previous life, and has not reported yet what it spent in that life. An equal part is kept for
-- each missing replica. Also returns: how many replicas there are; whether all that knew the previous life have
-- reported what they spent in it; whether a silent replica may just be slow; the sum of the other replicas' parts of
-- `full`; how many missing replicas have probably ended, because they had time to report.
local function kept_for_others(book, full, limit, at, silent, gone, name)
  local here, claims, heard, parts, unknown, is_slow = 1, 0, 0, 0, 0, false
  local returned, told = 0, 0
  local raw = redis.call('HGETALL', book)
  for n = 1, #raw, 2 do
    if string.sub(raw[n], 1, 1) == 'r' and raw[n] ~= 'r' .. name then
      local whose = string.sub(raw[n], 2)
      local seen, looked, claim = read_replica(raw[n + 1])
      if at - seen > gone then
        if at - looked > gone then redis.call('HDEL', book, raw[n], 'p' .. whose, 'u' .. whose) end
      else
        local part = read_book(book, 'p' .. whose) or 0
        here = here + 1
        if at - seen > silent then
          parts, unknown = parts + part, unknown + (part > 0 and 0 or 1)
        else
          claims, heard = claims + claim, heard + part
        end
        is_slow = is_slow or (at - seen > silent and at - seen <= SLOW * silent)
      end
    elseif string.sub(raw[n], 1, 1) == 't' then
      local has_told = raw[n + 1] == '1'
      told = told + (has_told and 1 or 0)
      returned = returned + ((has_told or raw[n] == 't' .. name) and 1 or 0)
    end
  end
  local since = read_book(book, 'since') or 0
  local expected = at < since + gone and read_book(book, 'expected') or 0
  local missing = math.max(0, expected - returned)
  local all = math.max(here + missing, expected)
  local equal = equal_part(full, all)
  parts = math.min(full - equal, parts + (missing + unknown) * equal)
  local kept = math.min(limit - 1, part_of(parts, full, limit) + claims)
  return math.max(0, kept), all, told >= expected, is_slow, heard + parts,
    at > since + SLOW * silent and missing or 0
end

-- Whether a call may be sent at the time `at`. `window` is a table: log, ranks (the names of their logs), book, limit,
-- span, rank (the rank of the call), and floors, ceilings and always (of each rank).
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

-- The first moment at which a call may be sent. The binary search requires that a call that may be sent at one moment
-- may be sent at each later moment too. This is usually true (see WindowLog._turn). If it is not, the search can find a
-- later moment than necessary.
local function turn_of(window, at)
  if may_go(window, at) then return at end
  local low = redis.call('ZCOUNT', window.log, '-inf', text(at - window.span))
  local high = redis.call('ZCARD', window.log) - 1
  local function ends(n)
    -- The score is read, because a member that is not a number of ours also counts until it leaves the window.
    return (tonumber(redis.call('ZRANGE', window.log, n, n, 'WITHSCORES')[2]) or at) + window.span
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if may_go(window, ends(middle)) then high = middle else low = middle + 1 end
  end
  return ends(low)
end

-- script: take
-- Promise: never more than `limit` calls of all replicas together are granted in any window. None is granted while the gate is closed. When the gate's time has come, one call is granted: the probe. Each rank has its floor and its ceiling. If no call can be granted, but a silent replica may just be slow, the reply is 'passing', because the calls that are kept for that replica may soon be free again. Nothing is granted if the replica has not looked at this life of the log lately ('look'). Nothing is granted either if the clock does not show the time that the replica expects ('clock').
-- KEYS log, gate, book, the log of each rank; ARGV limit (0: none), window, how many windows count as one for the recovery of a lowered limit, how long a probe without an answer keeps other calls away (all times in microseconds, except the next one), keep of all (ms), rank of the call, how long the call may wait, name of the replica, the life and the time in the last reply that it saw, the time that it expects now and how far that may be wrong, after how long without a report a replica spends its part alone, and after how long it is forgotten, then floor, ceiling and 1 or 0 for "always kept" of each rank.

local limit, span, parts, patience, keep, rank, waits, name, life, seen, expected, error, silent, gone = unpack(ARGV, 1, 14)
limit, span, patience, rank, waits = tonumber(limit), tonumber(span), tonumber(patience), tonumber(rank), tonumber(waits)
life, seen, silent, gone = tonumber(life), tonumber(seen), tonumber(silent), tonumber(gone)
local time, at = now()
local log, book = KEYS[1], KEYS[3]
local gate = read_gate(KEYS[2], at)
local stamp, spare, all = at, 0, 0
make_room(log, 'zset')
make_room(book, 'hash')

local function reply(word, wait)
  local available = limit > 0 and limit - spare - later(log, at - span) or 0
  local closed_for = gate and math.max(0, gate.closed_until - at) or 0
  return { time[1], time[2], word, text(wait), text(math.max(0, available)), text(closed_for), text(stamp), gate and gate.probe > 0 and 1 or 0, limit, all }
end

if gate and at < gate.closed_until then return reply('closed', gate.closed_until - at) end
if gate then waits = 0 end -- a probe does not wait

if limit > 0 then
  if math.abs(at - tonumber(expected)) > tonumber(error) then return reply('clock', 0) end
  if life ~= life_of(log, book) or at - seen > silent then return reply('look', 0) end
  local last, told, claim = read_replica(redis.call('HGET', book, 'r' .. name))
  local full, is_told, is_slow = limit, true, false
  limit = lowered(book, limit, span, parts, at)
  spare, all, is_told, is_slow = kept_for_others(book, full, limit, at, silent, gone, name)
  -- A replica may use its own claim if the last reply that it saw had this claim. Otherwise the calls of the claim are
  -- not granted.
  if told ~= seen then spare = math.min(limit - 1, spare + claim) end
  local settles = (read_book(book, 'since') or 0) + span
  if at < settles and not is_told then return reply('settling', settles - at) end

  local free = limit - spare
  local window = { log = log, book = book, limit = free, span = span, rank = rank, ranks = {}, floors = {}, ceilings = {}, always = {} }
  for n = 1, #KEYS - 3 do
    window.ranks[n] = KEYS[n + 3]
    make_room(window.ranks[n], 'zset')
    local floor, ceiling = tonumber(ARGV[3 * n + 12]), tonumber(ARGV[3 * n + 13])
    window.floors[n] = math.floor(floor * free / full)
    window.ceilings[n] = math.max(1, math.floor(ceiling * free / full))
    window.always[n] = ARGV[3 * n + 14] == '1'
  end
  -- The newest stamp stays, however old it is, because it shows that nothing was sent after it.
  local newest = tonumber(redis.call('ZRANGE', log, -1, -1, 'WITHSCORES')[2])
  redis.call('ZREMRANGEBYSCORE', log, '-inf', text(math.min(at - span, newest - 1)))
  local mine = window.ranks[rank]
  redis.call('ZREMRANGEBYSCORE', mine, '-inf', text(at - span))
  redis.call('PEXPIRE', book, keep)
  local turn = turn_of(window, at)
  if turn - at > waits then
    write_book(book, rank, at, keep)
    return reply(is_slow and 'passing' or 'exhausted', turn - at)
  end
  stamp = charge({ log, mine }, turn, keep)
  write_replica(book, name, math.max(seen, last), told, told == seen and math.max(0, claim - 1) or claim)
end

if gate then
  gate.closed_until, gate.probe = at + patience, stamp
  write_gate(KEYS[2], gate, keep)
end
return reply('granted', math.max(0, stamp - at))

-- script: look
-- Promise: tells a replica all that is known of the last window. The calls that the replica reports are added if the replica knows this life of the log. If nothing is known, a new life of the log begins. If the replica knew no life, the past of the new life is made up. If the replica knew another life, nothing is granted until all replicas that knew that life have reported their calls, or until a window has passed.
-- KEYS log, gate, book, the log of each rank; ARGV limit, window (microseconds), how many windows count as one for the recovery of a lowered limit, keep (ms), free calls of an unknown past, the most ages in the reply (if there are more calls, every n-th age stands for n calls), name of the replica, the life and the time in the last reply that it saw (0: none), how many replicas it knew (without those that had probably ended), its part of the limit, how many calls of its claim are left, a life to forget because the clock was set (0: none), after how long without a report a replica spends its part alone, and after how long it is forgotten, how many calls it reports, the number and the age of each, then the floor of each rank, then the stamps of calls that it saw in the previous life.

local limit, span, parts, keep, free, most, name, known, seen, others, own, left, wrong, silent, gone, told = unpack(ARGV, 1, 16)
limit, span, free, most, known, seen, told = tonumber(limit), tonumber(span), tonumber(free), tonumber(most), tonumber(known), tonumber(seen), tonumber(told)
local time, at = now()
local log, book, ranks = KEYS[1], KEYS[3], {}
make_room(log, 'zset')
make_room(book, 'hash')
for n = 4, #KEYS do
  ranks[n - 3] = KEYS[n]
  make_room(KEYS[n], 'zset')
end
local gate, life = read_gate(KEYS[2], at), life_of(log, book)
local holds = lowered(book, limit, span, parts, at)

-- Makes up a past, as if all calls but the free ones had been sent at even intervals. Each time a made-up call leaves
-- the window, one more call may be sent. Made-up calls are also charged to the ranks (for example half of each rank's
-- floor, if half of the limit is made up).
local function make_up_past()
  if free < limit then write_book(book, 'born', at, keep) end
  local all, theirs, when = {}, {}, 0
  for place = 1, #ranks do theirs[place] = {} end
  for n = 1, holds - free do
    when = math.max(when + 1, math.floor(at - span + n * span / holds))
    all[n] = text(when)
    for place = 1, #ranks do
      local floor = math.floor(tonumber(ARGV[16 + 2 * told + place]) * holds / limit)
      if math.floor(n * floor / holds) > math.floor((n - 1) * floor / holds) then table.insert(theirs[place], all[n]) end
    end
  end
  charge_all(log, all, keep)
  for place, stamps in ipairs(theirs) do charge_all(ranks[place], stamps, keep) end
end

if not life or life == tonumber(wrong) then
  local low, lowered_at, full = read_book(book, 'limit'), read_book(book, 'lowered'), read_book(book, 'full') or limit
  local of = read_book(book, 'of') or span
  redis.call('DEL', log, book, unpack(ranks))
  if low and lowered_at then lower(book, full, of, low, math.min(lowered_at, at), keep) end -- the clock may have been set back
  life = math.max(at, known + 1)
  write_book(book, 'life', life, keep)
  write_book(book, 'since', at, keep)
  charge({ log }, NEVER, keep)
  if known == 0 then make_up_past() end
end
local since = read_book(book, 'since') or 0
if known > 0 and known ~= life and at < since + tonumber(gone) then
  if at < since + span then
    write_book(book, 'expected', math.max(tonumber(others), read_book(book, 'expected') or 0), keep)
  end
  if not redis.call('HGET', book, 't' .. name) then redis.call('HSET', book, 't' .. name, 0) end
end
if known == life and redis.call('HGET', book, 't' .. name) then redis.call('HSET', book, 't' .. name, 1) end
redis.call('PEXPIRE', log, keep)

-- Half of the calls that are known to be unspent may be spent without asking, if replicas lose Redis. Each replica's
-- equal share of these calls is its claim. Each replica also has a part of the limit, which it may spend when nobody
-- hears it any more. This is an equal part, or less if the parts of the other replicas leave less. If the limit was
-- lowered, they may leave less until each replica has looked. A replica then keeps as much of its old part as an equal
-- part is: without a part it would spend as after a start, and forget its calls. A reply may be lost. The book
-- therefore has the larger of the old and the new claim until the replica reports that it saw the reply with the new
-- claim. A look whose report is older than the last report gives no claim.
local kept, all, is_told, _, parts, absent = kept_for_others(book, limit, holds, at, tonumber(silent), tonumber(gone), name)
local claim, part = 0, 0
if known == life then
  -- A replica that got no reply reports its calls again. The numbers of its calls rise, so a call with a number that is
  -- not above the highest one so far is in the log.
  local highest = told > 0 and read_book(book, 'u' .. name) or 0
  local reported = highest
  for n = 17, 16 + 2 * told, 2 do
    local number = tonumber(ARGV[n])
    if number > highest then charge({ log }, math.max(1, at - tonumber(ARGV[n + 1])), keep) end
    reported = math.max(reported, number)
  end
  if reported > highest then write_book(book, 'u' .. name, reported, keep) end
  charge_all(log, { unpack(ARGV, 17 + 2 * told + #ranks) }, keep)
  local last, before, has = read_replica(redis.call('HGET', book, 'r' .. name))
  if seen >= last then
    local free = is_told and holds - later(log, at - span) or 0
    part = math.min(equal_part(limit, all), math.max(limit - parts, tonumber(own)))
    claim = math.max(0, math.min(free - kept, math.floor(free / (2 * all)), part_of(part, limit, holds)))
    local had = read_book(book, 'p' .. name) or 0
    if before == seen then has, had = 0, 0 end
    write_replica(book, name, seen, at, math.max(claim, tonumber(left), has))
    write_book(book, 'p' .. name, math.max(part, tonumber(own), had), keep)
  end
end
local stamps = redis.call('ZRANGEBYSCORE', log, '(' .. text(math.max(0, at - span)), '+inf')
local every, ages = math.max(1, math.ceil(#stamps / most)), {}
for n = every, #stamps, every do ages[#ages + 1] = text(at - (tonumber(stamps[n]) or at)) end
local closed_for = gate and math.max(0, gate.closed_until - at) or 0
return { time[1], time[2], holds, text(closed_for), #stamps, every, text(at), text(life), all, absent, claim, part, part_of(part, limit, holds), unpack(ages) }

-- script: enter
-- Promise: a call that has waited for its turn counts from now on. In three cases the charge is undone instead, and the reply says so: the gate was closed during the wait, the charge is not known any more (lost, undone by a 429, or older than the window), or the calls that are now kept for other replicas leave no room for this call. The probe of a closed gate stays the probe. If its charge is undone, the next call becomes the probe.
-- KEYS log, gate, book, the log of each rank; ARGV stamp of the charge, name of the replica, limit (0: none), window (microseconds), how many windows count as one for the recovery of a lowered limit, after how long without a report a replica spends its part alone, and after how long it is forgotten, keep (ms).

local limit, span = tonumber(ARGV[3]), tonumber(ARGV[4])
local time, at = now()
local log, book, gate = KEYS[1], KEYS[3], read_gate(KEYS[2], at)
local is_probe = gate and gate.probe == tonumber(ARGV[1])
local is_closed = gate and not is_probe and at < gate.closed_until
local may_go = not gate or is_probe
if may_go and limit > 0 then
  local charged = redis.call('TYPE', log).ok == 'zset' and redis.call('ZSCORE', log, ARGV[1])
  may_go = charged and tonumber(charged) > at - span
end
if may_go and limit > 0 then
  make_room(book, 'hash')
  local holds = lowered(book, limit, span, ARGV[5], at)
  local spare = kept_for_others(book, limit, holds, at, tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[2])
  local sent = redis.call('ZCOUNT', log, '(' .. text(at - span), text(at))
  may_go = spare == 0 or sent + spare <= holds
end
local stamp = may_go and at or 0
for n = 1, #KEYS do
  if n ~= 2 and n ~= 3 and redis.pcall('ZREM', KEYS[n], ARGV[1]) == 1 then
    if n == 1 and may_go then
      while redis.call('ZSCORE', log, text(stamp)) do stamp = stamp + 1 end
    end
    if may_go then
      redis.call('ZADD', KEYS[n], text(stamp), text(stamp))
    elseif n == 1 and redis.call('EXISTS', log) == 0 then
      charge({ log }, NEVER, ARGV[8]) -- an empty log counts as lost
    end
  end
end
if is_probe then
  gate.closed_until, gate.probe = may_go and gate.closed_until or at, stamp
  write_gate(KEYS[2], gate, ARGV[8])
end
return { time[1], time[2], text(is_closed and gate.closed_until - at or 0), text(stamp), gate and gate.probe > 0 and 1 or 0 }

-- script: close
-- Promise: from now on no replica is granted a call until the time that upstream named has passed. This time is kept within the shortest and the longest hold. If upstream named no time, the hold doubles with each refused probe. A 429 to a call that was in flight when the gate closed can only make the hold longer. The reply says whether this 429 keeps the gate closed for longer, by at least the shortest hold, and what the limit is now (0: not known).
-- The script also lowers the limit, because the calls within one window were too many. A 429 to a call that was in flight does not lower it. Calls that were granted for later, or made up for an unknown past, were not sent, and do not count. A call that waits for its turn has to ask again. While the past is unknown, at least half of the limit counts as spent.
-- KEYS gate, log, book, the log of each rank; ARGV seconds that upstream named (empty: none), jitter, first and last hold if it named none, shortest and longest hold (seconds), keep (ms), limit (0: none), window (microseconds), how many windows count as one for the recovery of a lowered limit. The rule is that of core/budget/breaker.Gate.close.

local named, jitter, first, last, shortest, longest = unpack(ARGV, 1, 6)
local time, at = now()
local gate = read_gate(KEYS[1], at)
local is_straggler = gate and gate.probe == 0
local refusals = gate and gate.refusals or 0
if not is_straggler then refusals = refusals + 1 end

local hold = tonumber(named) or math.min(last, first * 2 ^ math.min(refusals - 1, 60))
hold = math.min(longest, math.max(shortest, hold) * (1 + jitter / 10))
local closed_until = math.ceil(at + hold * 1000000)
if is_straggler then closed_until = math.max(closed_until, gate.closed_until) end

local limit, span, parts = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local holds = 0
if limit > 0 and not is_straggler then
  make_room(KEYS[2], 'zset')
  make_room(KEYS[3], 'hash')
  for n = 2, #KEYS do
    if n ~= 3 then redis.pcall('ZREMRANGEBYSCORE', KEYS[n], '(' .. text(at), '+inf') end
  end
  holds = lowered(KEYS[3], limit, span, parts, at)
  local born = read_book(KEYS[3], 'born') or 0
  local is_known = born <= at - span
  local since = is_known and '(' .. text(at - span) or text(born)
  local spent = redis.call('ZCOUNT', KEYS[2], since, text(at))
  if not is_known then spent = math.max(spent, math.floor(limit / 2)) end
  local kept = math.max(1, math.floor(limit / LEAST), math.floor(spent * KEPT))
  if spent > 0 then
    holds = math.min(holds, kept)
    lower(KEYS[3], limit, span, holds, at, ARGV[7])
  end
end

write_gate(KEYS[1], { closed_until = closed_until, probe = 0, refusals = refusals }, ARGV[7])
local is_longer = not is_straggler or closed_until >= gate.closed_until + shortest * 1000000
return { time[1], time[2], text(closed_until - at), is_longer and 1 or 0, holds }

-- script: reopen
-- Promise: an answer opens a gate if a probe is under way, or if the gate's time has come. Otherwise the gate stays closed. A call that was never sent is no longer charged. If this call was the probe, the next call becomes the probe.
-- KEYS log, gate, the log of each rank; ARGV stamp of the call that was never sent (empty: an answer came), keep (ms). The rules are those of core/budget/breaker.Gate.reopen and take_back.

local never_sent, keep = unpack(ARGV)
local time, at = now()
local gate = read_gate(KEYS[2], at)
local opened = 0

if never_sent ~= '' then
  if redis.pcall('ZREM', KEYS[1], never_sent) == 1 and redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('ZADD', KEYS[1], 1, '1') -- a call of long ago, because an empty log counts as lost
  end
  for n = 3, #KEYS do redis.pcall('ZREM', KEYS[n], never_sent) end
  if gate and gate.probe == tonumber(never_sent) then
    gate.closed_until, gate.probe = at, 0
    write_gate(KEYS[2], gate, keep)
  end
elseif gate and (gate.probe > 0 or at >= gate.closed_until) then
  redis.call('DEL', KEYS[2])
  gate, opened = nil, 1
end

local closed_for = gate and math.max(0, gate.closed_until - at) or 0
return { time[1], time[2], text(closed_for), opened }
