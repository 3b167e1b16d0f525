-- Scripts on the budget that all replicas share. Each scope (for example a tenant) has a state and three logs: the calls
-- of callers, of refreshes and of the sweep. All scopes have one life, a record that never expires.
-- Times are whole microseconds, which a double holds exactly until the year 2255.

-- The margin: a call counts for the window and these microseconds (0.2 s from the question until the call is sent, 0.2 s
-- by which calls differ on their way, 0.1 s for clocks). It is MARGIN of core/budget/window_log.
local MARGIN = 500000
-- How far a clock may differ before it counts as changed.
local CLOCK = 100000
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
  local names = { 'until', 'probe', 'refusals', 'low', 'since', 'rest', '2', '3', 'rate', 'by', 'named' }
  local raw, state = redis.call('HMGET', key, unpack(names)), {}
  for n, name in ipairs(names) do state[name] = raw[n] or nil end
  for _, name in ipairs({ 'until', 'refusals', 'low', 'since', 'rest', '2', '3', 'named' }) do
    state[name] = tonumber(state[name])
  end
  if state['until'] and state['until'] > now + LONGEST then state['until'], state.probe = nil, nil end
  return state
end

local function write(key, ...)
  redis.call('HSET', key, ...)
  redis.call('PEXPIRE', key, STATE_KEPT)
end

local function set_gate(key, closed_until, probe, refusals)
  write(key, 'until', text(closed_until), 'probe', probe, 'refusals', refusals)
end

-- The limit at this time: a 429 lowers it, and it rises by a step in each window without one.
local function present(state, limit, window)
  if not state.low or not state.since then return limit end
  local steps = math.max(0, math.floor((now - state.since) / window))
  return math.min(limit, state.low + steps * math.max(1, math.floor(limit / STEPS)))
end

-- script: ask
-- Promise: all replicas together are granted at most `most` calls in any window and its margin, and none while the gate is closed. After another life (Redis lost its data, was failed over or restarted, or its clock was changed) none is granted for a window. A first start is paced.
-- KEYS life, state, log of callers, of refreshes, of the sweep; ARGV id of the call, the life that the replica knows (empty: none), for each log the id and the time of its last call there (empty: none), the time that it expects now (0: not known), 1 if the clock was changed, ids that it gives back, 1 if it wants a call (0: it looks), rank, most (0: no limit), limit, window, the reserves of all replicas together, share of the sweep, patience for a probe, 1 if a first start is paced, the rate as text, name of the replica. Times are in microseconds.
-- The reply: word, wait, life, time, available, limit, how long the gate is closed, 1 if a probe is under way, the rate of another replica if it differs.

local id, known, mine1, at1, mine2, at2, mine3, at3, expect, stepped, back, wants, rank, most, limit, window, reserves, share, patience, paced, rate, name = unpack(ARGV)
expect, rank, most, limit = tonumber(expect), tonumber(rank), tonumber(most), tonumber(limit)
local mine = { { mine1, tonumber(at1) }, { mine2, tonumber(at2) }, { mine3, tonumber(at3) } }
window, reserves, share, patience = tonumber(window), tonumber(reserves), tonumber(share), tonumber(patience)
stepped, wants, paced = stepped == '1', wants == '1', paced == '1'
local logs, span = { KEYS[3], KEYS[4], KEYS[5] }, window + MARGIN
make_room(KEYS[1], 'hash')
local raw = redis.call('HMGET', KEYS[1], 'id', 'server', 'born', 'last', 'kind')
local life = { id = raw[1], server = raw[2], born = tonumber(raw[3]), last = tonumber(raw[4]), kind = raw[5] }
local state, calls, most_now, closed_for, other = nil, 0, 0, 0, ''

local function reply(word, wait)
  local shown = state and present(state, limit, window) or limit
  return { time[1], time[2], word, text(math.max(0, wait)), life.id or '', text(now), text(math.max(0, most_now - calls)), text(shown), text(closed_for), state and state.probe and state.probe ~= '' and 1 or 0, other }
end

-- 1. The question was long on its way, or the clock was changed.
if expect > 0 and now > expect + CLOCK and not stepped then return reply('LATE', CLOCK) end

-- 2. to 4. Whether the life is the one that the replica knows.
local function begin_life(kind, server)
  life = { id = id, server = server, born = now, last = now, kind = kind }
  redis.call('HSET', KEYS[1], 'id', id, 'server', server, 'born', text(now), 'kind', kind)
end

local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if not (life.id and life.born and life.last) then
  begin_life(known ~= '' and 'rest' or (paced and 'paced' or 'full'), server)
elseif life.server ~= server or now < life.last - CLOCK or (stepped and known == life.id) then
  begin_life('rest', server)
elseif known ~= '' and known ~= life.id and life.kind ~= 'rest' and now < life.born + span then
  life.kind = 'rest' -- this was no first start
  redis.call('HSET', KEYS[1], 'kind', 'rest')
end
now = math.max(now, life.last)
redis.call('HSET', KEYS[1], 'last', text(now))

state = read_state(KEYS[2])
if state.rate and state.rate ~= rate and state.by ~= name and now - (state.named or 0) < NAMED then other = state.rate end
write(KEYS[2], 'rate', rate, 'by', name, 'named', text(now))

local counts = { 0, 0, 0 }
local pace = nil
local first = life.kind == 'rest' and life.born + span or life.born + 1000000
if most > 0 then
  -- 5. Calls that do not count.
  for n, log in ipairs(logs) do
    make_room(log, 'zset')
    for each in string.gmatch(back, '%S+') do redis.call('ZREM', log, each) end
    redis.call('ZREMRANGEBYSCORE', log, '-inf', text(now - span))
    redis.call('ZREMRANGEBYSCORE', log, '(' .. text(now), '+inf')
    counts[n] = redis.call('ZCARD', log)
  end
  calls = counts[1] + counts[2] + counts[3]
  -- 6. Redis has lost a call of a log, and perhaps others.
  local is_resting = known ~= life.id or (state.rest and now < state.rest)
  for n, log in ipairs(logs) do
    local call, at = unpack(mine[n])
    if call ~= '' and at > now - span and not is_resting and not redis.call('ZSCORE', log, call) then
      is_resting, state.rest = true, now + span
      write(KEYS[2], 'rest', text(state.rest))
    end
  end
  first = math.max(first, state.rest or 0)
  -- 8. How many calls may be in the log now.
  most_now = math.min(most, math.max(1, present(state, limit, window) - reserves))
  if life.kind == 'paced' and now < life.born + 1000000 + span then
    local full, since = most_now, math.max(0, now - life.born - 1000000)
    pace = { at_once = math.max(1, math.floor(full / 10)), every = span / (0.9 * full), since = life.born + 1000000 }
    most_now = math.min(full, pace.at_once + math.floor(since / pace.every))
  end
  if now < first then most_now = 0 end
end

-- 7. The gate, and the rest.
if state['until'] and now < state['until'] then
  closed_for = state['until'] - now
  return reply('GATE', closed_for)
end
if not wants then return reply('OK', 0) end
if most > 0 and now < first then return reply('REST', first - now) end

-- When the n-th oldest call of these logs leaves the window.
local function leaves(n, of)
  local times = {}
  for _, log in ipairs(of) do
    local scored = redis.call('ZRANGE', log, 0, n - 1, 'WITHSCORES')
    for at = 2, #scored, 2 do times[#times + 1] = tonumber(scored[at]) end
  end
  table.sort(times)
  return (times[n] or times[#times] or now) + span
end

-- 9. The ranks. Refreshes and the sweep together have four fifths at most, and the sweep its share. A tenth is kept for
-- each of them if it was refused within a window.
local function turn()
  local tenth, kept, at = math.floor(most_now / 10), 0, now
  if rank == 1 or counts[rank] >= tenth then
    for n = 2, 3 do
      if n ~= rank and (state[tostring(n)] or 0) > now - span then kept = kept + math.max(0, tenth - counts[n]) end
    end
  end
  kept = math.min(kept, math.max(0, math.floor(0.8 * most_now) - counts[2] - counts[3]))
  local beyond = calls + kept + 1 - most_now
  if beyond > 0 then at = math.max(at, leaves(beyond, logs)) end
  if rank > 1 then
    beyond = counts[2] + counts[3] + 1 - math.max(1, math.floor(0.8 * most_now))
    if beyond > 0 then at = math.max(at, leaves(beyond, { logs[2], logs[3] })) end
  end
  if rank == 3 then
    beyond = counts[3] + 1 - math.max(1, math.floor(share * most_now))
    if beyond > 0 then at = math.max(at, leaves(beyond, { logs[3] })) end
  end
  if pace and at > now then
    local paced_at = math.ceil(pace.since + (calls + kept + 1 - pace.at_once) * pace.every) + 1
    return paced_at > now and paced_at or now + math.ceil(pace.every)
  end
  return at
end

if most > 0 then
  local at = turn()
  if at > now then
    if rank > 1 then write(KEYS[2], text(rank), text(now)) end
    return reply('NO', at - now)
  end
  -- 10. The call is granted.
  redis.call('ZADD', logs[rank], text(now), id)
  for _, log in ipairs(logs) do redis.call('PEXPIRE', log, math.ceil(3 * span / 1000)) end
  calls = calls + 1
end
if state['until'] then
  state.probe = id
  closed_for = patience
  set_gate(KEYS[2], now + patience, id, state.refusals or 0)
end
return reply('OK', 0)

-- script: give_back
-- Promise: a call that was certainly not sent does not count any more. If it was the probe, the next call becomes the probe.
-- KEYS state, the three logs; ARGV id of the call.
-- The reply: how long the gate is closed.

for n = 2, #KEYS do redis.pcall('ZREM', KEYS[n], ARGV[1]) end
local state = read_state(KEYS[1])
if state['until'] and state.probe == ARGV[1] then
  state['until'] = now
  set_gate(KEYS[1], now, '', state.refusals or 0)
end
return { time[1], time[2], text(math.max(0, (state['until'] or 0) - now)) }

-- script: close
-- Promise: from now on no call is granted until the time that the API named has passed, within the shortest and the longest hold. If the API named no time, the hold doubles with each refused probe. The limit falls to four fifths. A 429 to a call that was in flight when the gate closed can only make the hold longer.
-- KEYS state; ARGV seconds that the API named (empty: none), jitter, first and last hold if it named none, shortest and longest hold (seconds), limit (0: none), window (microseconds). The rule is that of core/budget/breaker.Gate.close.
-- The reply: how long the gate is closed, 1 if that is longer than before, the limit.

local named, jitter, first, last, shortest, longest, limit, window = unpack(ARGV)
limit, window = tonumber(limit), tonumber(window)
local state = read_state(KEYS[1])
local is_straggler = state['until'] and (state.probe or '') == ''
local refusals = state['until'] and state.refusals or 0
if not is_straggler then refusals = refusals + 1 end
local hold = tonumber(named) or math.min(last, first * 2 ^ math.min(refusals - 1, 60))
hold = math.min(longest, math.max(shortest, hold) * (1 + jitter / 10))
local closed_until = math.ceil(now + hold * 1000000)
if is_straggler then closed_until = math.max(closed_until, state['until']) end
if limit > 0 and not is_straggler then
  local low = math.max(1, math.floor(limit / LEAST), math.floor(present(state, limit, window) * KEPT))
  state.low, state.since = math.min(limit, low), now
  write(KEYS[1], 'low', text(state.low), 'since', text(now))
end
local is_longer = not is_straggler or closed_until >= state['until'] + shortest * 1000000
set_gate(KEYS[1], closed_until, '', refusals)
return { time[1], time[2], text(closed_until - now), is_longer and 1 or 0, text(present(state, limit, window)) }

-- script: open
-- Promise: an answer of the API other than 429 opens a gate if a probe is under way, or if the gate's time has come. Otherwise the gate stays closed.
-- KEYS state.
-- The reply: how long the gate is closed, 1 if it was opened.

local state = read_state(KEYS[1])
local closed_for, opened = 0, 0
if state['until'] and ((state.probe or '') ~= '' or now >= state['until']) then
  redis.call('HDEL', KEYS[1], 'until', 'probe', 'refusals')
  opened = 1
elseif state['until'] then
  closed_for = state['until'] - now
end
return { time[1], time[2], text(closed_for), opened }
