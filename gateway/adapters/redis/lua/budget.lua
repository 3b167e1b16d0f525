-- Scripts on the budget that all replicas share. Each scope (for example a tenant) has a state and three logs: the calls
-- of callers, of refreshes and of the sweep. All scopes have one life, a record that never expires.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

-- The margin: a call counts for the window and these microseconds (0.2 s from the question until the call is sent, 0.2 s
-- by which calls differ on their way, 0.1 s for clocks). It is MARGIN of core/budget/window_log.
local MARGIN = 500000
-- How far a clock may differ before it counts as changed.
local CLOCK = 100000
-- In the first second of a life no call is granted: the replicas look, and those that know another life say so.
local FIRST = 1000000
-- No 429 closes a gate for longer than this. A gate that is closed for longer was closed on another clock.
local LONGEST = 2 * 60 * 60 * 1000000
local STATE_KEPT = 24 * 3600 * 1000
-- A rate that another replica named this long ago still counts.
local NAMED = 15 * 1000000
-- A lowered limit: core/budget/window_log has the same numbers.
local STEPS, LEAST, KEPT = 20, 10, 0.8

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function text(number)
  return string.format('%.0f', number)
end

local function make_room(key, kind)
  if redis.call('TYPE', key).ok ~= kind then redis.call('DEL', key) end
end

local function read_state(key)
  make_room(key, 'hash')
  local names, state = { 'probe', 'assumed', 'rate', 'by', 'until', 'low', 'since', 'rest', '2', '3', 'named', 'last1', 'last2', 'last3' }, {}
  for n, each in ipairs(redis.call('HMGET', key, unpack(names))) do
    state[names[n]] = n <= 4 and (each or '') or tonumber(each)
  end
  if state['until'] and state['until'] > now + LONGEST then state['until'], state.probe = nil, '' end
  return state
end

local function write(key, ...)
  redis.call('HSET', key, ...)
  redis.call('PEXPIRE', key, STATE_KEPT)
end

-- The limit at this time: a 429 lowers it, and it rises by a step in each window without one.
local function present(state, limit, window)
  if not state.low or not state.since then return limit end
  local steps = math.max(0, math.floor((now - state.since) / window))
  return math.min(limit, state.low + steps * math.max(1, math.floor(limit / STEPS)))
end

-- script: ask
-- Promise: all replicas together are granted at most the limit without the reserves in any window and its margin, and none while the gate is closed. After another life (Redis lost its data, was failed over or restarted, or its clock was changed) none is granted for a window. At a first start nine tenths count as spent.
-- KEYS life, state, log of callers, of refreshes, of the sweep; ARGV a question in JSON: the `id` of the call, the life that the replica has `known` (empty: none), the time that it `expect`s now (0: not known), whether the clock was `stepped`, the ids that it gives `back`, the `rank` (0: it looks, and wants no call), `limit` (0: none), `window`, the `reserves` of all replicas together, the `share` of the sweep, the `patience` for a probe, whether a first start is `paced`, the `rate` as text, the `name` of the replica.
-- The reply: word, wait, life, time, available, limit, 1 if a probe is under way, the rate of another replica if it differs.

local ask = cjson.decode(ARGV[1])
local logs, span, window, limit = { KEYS[3], KEYS[4], KEYS[5] }, ask.window + MARGIN, ask.window, ask.limit
make_room(KEYS[1], 'hash')
local raw = redis.call('HMGET', KEYS[1], 'id', 'server', 'born', 'last', 'kind')
local life = { id = raw[1], server = raw[2], born = tonumber(raw[3]), last = tonumber(raw[4]), kind = raw[5] }
local state, counts, most, other = { probe = '' }, { 0, 0, 0 }, 0, ''

local function reply(word, wait)
  local free = math.max(0, most - counts[1] - counts[2] - counts[3])
  local is_probed = state.probe ~= '' and 1 or 0
  return { time[1], time[2], word, text(math.max(0, wait)), life.id or '', text(now), text(free), text(present(state, limit, window)), is_probed, other }
end

-- 1. The question was long on its way, or the clock was changed.
if ask.expect > 0 and now > ask.expect + CLOCK and not ask.stepped then return reply('LATE', CLOCK) end

-- 2. to 4. Whether the life is the one that the replica knows.
local function begin_life(kind, server)
  life = { id = ask.id, server = server, born = now, last = now, kind = kind }
  redis.call('HSET', KEYS[1], 'id', life.id, 'server', server, 'born', text(now), 'kind', kind)
end

local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if not (life.id and life.born and life.last) then
  begin_life(ask.known ~= '' and 'rest' or (ask.paced and 'paced' or 'full'), server)
elseif life.server ~= server or now < life.last - CLOCK or (ask.stepped and ask.known == life.id) then
  begin_life('rest', server)
elseif ask.known ~= '' and ask.known ~= life.id and life.kind ~= 'rest' and now < life.born + span then
  life.kind = 'rest' -- this was no first start
  redis.call('HSET', KEYS[1], 'kind', 'rest')
end
now = math.max(now, life.last)
redis.call('HSET', KEYS[1], 'last', text(now))
local first = life.born + (life.kind == 'rest' and span or FIRST)

state = read_state(KEYS[2])
if state.rate ~= '' and state.rate ~= ask.rate and state.by ~= ask.name and now - (state.named or 0) < NAMED then other = state.rate end
write(KEYS[2], 'rate', ask.rate, 'by', ask.name, 'named', text(now))

-- 5. Calls that do not count. The state knows the time of the last call that counts in each log (`last1` to `last3`).
local function note_last(n)
  local last = redis.call('ZRANGE', logs[n], -1, -1, 'WITHSCORES')[2] or 0
  state['last' .. n] = tonumber(last)
  write(KEYS[2], 'last' .. n, last)
end

local function forget()
  for n, log in ipairs(logs) do
    make_room(log, 'zset')
    if #ask.back > 0 and redis.call('ZREM', log, unpack(ask.back)) > 0 then note_last(n) end
    redis.call('ZREMRANGEBYSCORE', log, '-inf', text(now - span))
    redis.call('ZREMRANGEBYSCORE', log, '(' .. text(now), '+inf')
    counts[n] = redis.call('ZCARD', log)
  end
end

-- A first start: nine tenths of the limit count as spent, at even intervals in the last window.
local function assume()
  local assumed = most - math.max(1, math.floor(most / 10))
  for n = 0, assumed - 1 do
    redis.call('ZADD', logs[n % 5 == 0 and 1 or 2], text(first - span * n / assumed), 'assumed-' .. n)
  end
  write(KEYS[2], 'assumed', life.id)
  for n = 1, 2 do note_last(n) end
  forget()
end

-- 6. Redis has lost a log if the state knows a call that counts, and the log has none. It has lost the state if a log has
-- calls, and the state knows none.
if limit > 0 then
  forget()
  for n = 1, 3 do
    if ((state['last' .. n] or 0) > now - span) ~= (counts[n] > 0) then
      state.rest = now + span
      write(KEYS[2], 'rest', text(state.rest))
      note_last(n)
    end
  end
  first = math.max(first, state.rest or 0)
  if now >= first then most = math.max(1, present(state, limit, window) - ask.reserves) end
  if most > 0 and life.kind == 'paced' and now < life.born + FIRST + span and state.assumed ~= life.id then assume() end
end

-- 7. The gate, and the rest. If a probe was not sent, the next call becomes the probe.
for _, each in ipairs(ask.back) do
  if state.probe == each then
    state['until'], state.probe = now, ''
    write(KEYS[2], 'until', text(now), 'probe', '')
  end
end
if state['until'] and now < state['until'] then return reply('GATE', state['until'] - now) end
if ask.rank == 0 then return reply('OK', 0) end
if limit > 0 and now < first then return reply('REST', first - now) end

-- 8. When the window has fewer than `number` calls of these logs.
local function below(number, of)
  local beyond, times = 1 - number, {}
  for _, n in ipairs(of) do beyond = beyond + counts[n] end
  if beyond < 1 then return now end
  for _, n in ipairs(of) do
    local scored = redis.call('ZRANGE', logs[n], 0, beyond - 1, 'WITHSCORES')
    for at = 2, #scored, 2 do times[#times + 1] = tonumber(scored[at]) end
  end
  table.sort(times)
  return (times[beyond] or now) + span
end

-- 9. The ranks. Refreshes and the sweep together have four fifths at most, and the sweep its share. A tenth is kept for
-- each of them if it was refused within a window.
local function turn()
  local rank, tenth, kept, background = ask.rank, math.floor(most / 10), 0, math.floor(0.8 * most)
  if rank == 1 or counts[rank] >= tenth then
    for n = 2, 3 do
      if n ~= rank and (state[tostring(n)] or 0) > now - span then kept = kept + math.max(0, tenth - counts[n]) end
    end
  end
  local at = below(most - math.min(kept, math.max(0, background - counts[2] - counts[3])), { 1, 2, 3 })
  if rank > 1 then at = math.max(at, below(math.max(1, background), { 2, 3 })) end
  if rank == 3 then at = math.max(at, below(math.max(1, math.floor(ask.share * most)), { 3 })) end
  return at
end

-- 10. The call is granted, or is told when it can be.
if limit > 0 then
  local at = turn()
  if at > now then
    if ask.rank > 1 then write(KEYS[2], text(ask.rank), text(now)) end
    return reply('NO', at - now)
  end
  redis.call('ZADD', logs[ask.rank], text(now), ask.id)
  write(KEYS[2], 'last' .. ask.rank, text(now))
  for _, log in ipairs(logs) do redis.call('PEXPIRE', log, math.ceil(3 * span / 1000)) end
  counts[ask.rank] = counts[ask.rank] + 1
end
if state['until'] then
  state.probe = ask.id
  write(KEYS[2], 'until', text(now + ask.patience), 'probe', ask.id)
end
return reply('OK', 0)

-- script: close
-- Promise: from now on no call is granted until the hold has passed. The limit falls to four fifths. A 429 to a call that was in flight when the gate closed can only make the hold longer.
-- KEYS state; ARGV hold (microseconds), limit (0: none), window (microseconds). The rule is that of core/upstream/breaker.Gate.close.
-- The reply: how long the gate is closed, the limit.

local limit, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local state = read_state(KEYS[1])
local closed_until = now + tonumber(ARGV[1])
if state['until'] and state.probe == '' and now < state['until'] then
  closed_until = math.max(closed_until, state['until'])
elseif limit > 0 then
  local low = math.max(1, math.floor(limit / LEAST), math.floor(present(state, limit, window) * KEPT))
  state.low, state.since = math.min(limit, low), now
  write(KEYS[1], 'low', text(state.low), 'since', text(now))
end
write(KEYS[1], 'until', text(closed_until), 'probe', '')
return { time[1], time[2], text(closed_until - now), text(present(state, limit, window)) }

-- script: open
-- Promise: an answer of the API other than 429 opens a gate if a probe is under way, or if the gate's time has come. Otherwise the gate stays closed.
-- KEYS state.
-- The reply: 1 if it was opened.

local state = read_state(KEYS[1])
if not state['until'] or (state.probe == '' and now < state['until']) then return { time[1], time[2], 0 } end
redis.call('HDEL', KEYS[1], 'until', 'probe')
return { time[1], time[2], 1 }
