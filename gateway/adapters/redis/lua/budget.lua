-- The script of the budget that all replicas share. Each scope (for example a tenant) has a state and a log of calls. All scopes
-- have one life, a record that never expires. core/budget/window_log has the same rules for one process.
-- Times are milliseconds here. The question and the reply have seconds.

-- A call counts for the window and this margin: 0.2 s from the question until the call is sent, 0.2 s by which calls differ on
-- their way, 0.1 s for clocks.
local MARGIN = 500
-- How far a clock may differ before it counts as changed.
local CLOCK = 100
-- No 429 closes a gate for longer than this. A gate that is closed for longer was closed on another clock.
local LONGEST = 2 * 3600 * 1000
local STATE_KEPT = 24 * 3600 * 1000
-- A rate that another replica named this long ago still counts.
local NAMED = 15 * 1000
-- A lowered limit.
local STEPS, LEAST, KEPT = 20, 10, 0.8

-- script: ask
-- Promise: all replicas together are granted at most the limit without the reserves in any window and its margin, and none while the gate is closed. After another life (Redis lost its data, was failed over or restarted, or its clock was changed) none is granted for a window. At a first start a tenth is free, and the rest becomes free at even intervals.
-- KEYS life, state, log; ARGV a question in JSON: the `id` of the call (its first digit is its rank; 0: the replica looks, and wants no call), the life that the replica has `known` (empty: none), whether the clock was `stepped`, the ids that it gives `back`, the `limit` (0: none), `window`, the `reserves` of all replicas together, the `share` of the sweep, the `patience` for a probe, the `start` if the past is unknown (`paced` or `full`), the `rate` as text, the `name` of the replica. News of the API, if there are any: a 429 that closes the gate for the time `hold`, or another answer (`answered`).
-- The reply, in JSON after Redis' time: `word`, `wait` until another question makes sense, `life`, `now`, `available` calls, the present `limit`, whether a probe is under way (`is_probed`), the `other_rate` of another replica if it differs.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ask = cjson.decode(ARGV[1])
local log, limit, window, wanted = KEYS[3], ask.limit, ask.window * 1000, tonumber(string.sub(ask.id, 1, 1))
local span = window + MARGIN

-- The record in a key. A field that is missing or makes no sense has the value in `record`.
local function read(key, record)
  local is_json, found = pcall(function() return cjson.decode(redis.call('GET', key)) end)
  for name, value in pairs(record) do
    local stored = is_json and type(found) == 'table' and found[name]
    local is_time = type(stored) == 'number' and stored >= 0 and stored < 1e14
    if type(stored) == type(value) and (is_time or type(stored) == 'string') then record[name] = stored end
  end
  return record
end

local life = read(KEYS[1], { id = '', server = '', kind = '', born = 0, last = 0 })
-- The rate that a replica named, and which replica; a closed gate and its probe; the lowered limit; the rest of this scope;
-- the last call that was granted; how many calls of each rank count; and when a call of the second and third rank was refused.
local state = read(KEYS[2], { rate = '', by = '', named = 0, closed = 0, probe = '', low = 0, since = 0, rest = 0, last = 0, count1 = 0, count2 = 0, count3 = 0, refused2 = 0, refused3 = 0 })
local most, more, other = 0, math.huge, nil

local function counted(rank)
  local number = 0
  for each = rank, 3 do number = number + state['count' .. each] end
  return number
end

-- The limit at this time: a 429 lowers it, and it rises by a step in each window without one.
local function present()
  if state.low == 0 then return limit end
  local steps = math.max(0, math.floor((now - state.since) / window))
  return math.min(limit, state.low + steps * math.max(1, math.floor(limit / STEPS)))
end

local function reply(word, wait)
  redis.call('SET', KEYS[1], cjson.encode(life))
  redis.call('SET', KEYS[2], cjson.encode(state), 'PX', STATE_KEPT)
  local available, is_probed = math.max(0, most - counted(1)), state.probe ~= ''
  return { time[1], time[2], cjson.encode({ word = word, wait = wait / 1000, life = life.id, now = now / 1000, available = available, limit = present(), is_probed = is_probed, other_rate = other }) }
end

-- 1. Whether the life is the one that the replica knows.
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local is_lost = life.server ~= server or now < life.last - CLOCK or (ask.stepped and ask.known == life.id)
if life.id == '' or life.born == 0 or life.last == 0 then
  life = { id = ask.id, server = server, kind = ask.known ~= '' and 'rest' or ask.start, born = now, last = now }
elseif is_lost then
  life = { id = ask.id, server = server, kind = 'rest', born = now, last = now }
elseif ask.known ~= '' and ask.known ~= life.id and now < life.born + span then
  life.kind = 'rest' -- this was no first start
end
now = math.max(now, life.last)
life.last = now

-- 2. Another replica has another rate.
if state.by ~= ask.name and state.rate ~= ask.rate and now < state.named + NAMED then other = state.rate end
state.rate, state.by, state.named = ask.rate, ask.name, now

-- 3. The calls that count. The state knows how many they are. If the log has another number, Redis has lost one of the two. (A
-- log of which no call counts any more expires.)
local function forget(ids)
  for _, id in ipairs(ids) do
    local count = 'count' .. string.sub(id, 1, 1)
    if redis.call('ZREM', log, id) == 1 then state[count] = (state[count] or 1) - 1 end
  end
end

local function read_log()
  if redis.call('TYPE', log).ok ~= 'zset' then redis.call('DEL', log) end
  local number = redis.call('ZCARD', log)
  if number ~= counted(1) then
    if number > 0 or state.last > now - span then state.rest = now + span end
    redis.call('DEL', log)
    state.count1, state.count2, state.count3 = 0, 0, 0
  end
  forget(redis.call('ZRANGEBYSCORE', log, '-inf', now - span))
  forget(redis.call('ZRANGEBYSCORE', log, '(' .. now, '+inf'))
  forget(ask.back)
end

-- 4. How many calls may count, and when `more` may.
local function open_up()
  local part = math.max(1, present() - ask.reserves)
  local free, gone = math.max(1, math.floor(part / 10)), now - life.born
  local rest = math.max(state.rest, life.kind == 'rest' and life.born + span or 0)
  if now < rest then return 0, rest end
  if life.kind ~= 'paced' or gone >= span or free == part then return part, math.huge end
  local steps = math.floor((part - free) * gone / span)
  return free + steps, life.born + math.ceil(span * (steps + 1) / (part - free))
end

if limit > 0 then
  read_log()
  most, more = open_up()
end

-- 5. The gate. If a probe was not sent, the next call becomes the probe. A 429 to a call that was in flight when the gate closed
-- can only make the hold longer (core/upstream/breaker.Gate has the same rule). Any other answer opens the gate if a probe is
-- under way, or if the time has come.
if state.closed > now + LONGEST then state.closed, state.probe = 0, '' end
for _, each in ipairs(ask.back) do
  if state.probe == each then state.closed, state.probe = now, '' end
end
local is_holding = state.probe == '' and now < state.closed
if ask.hold then
  if not is_holding and limit > 0 then
    state.low, state.since = math.min(limit, math.max(1, math.floor(limit / LEAST), math.floor(present() * KEPT))), now
  end
  state.closed, state.probe = math.max(now + 1000 * ask.hold, is_holding and state.closed or 0), ''
elseif ask.answered and not is_holding then
  state.closed, state.probe = 0, ''
end
if now < state.closed then return reply('GATE', state.closed - now) end
if wanted == 0 then return reply('OK', 0) end
if limit > 0 and most == 0 then return reply('REST', more - now) end

-- 6. When the window has fewer than `number` calls of this rank and the ranks after it.
local function below(number, rank)
  local beyond = counted(rank) - number + 1
  if beyond < 1 then return now end
  for first = 0, counted(1) - 1, 50 do
    local scored = redis.call('ZRANGE', log, first, first + 49, 'WITHSCORES')
    for n = 1, #scored, 2 do
      if (tonumber(string.sub(scored[n], 1, 1)) or 1) >= rank then beyond = beyond - 1 end
      if beyond == 0 then return tonumber(scored[n + 1]) + span end
    end
  end
  return now + span
end

-- 7. The ranks. Refreshes and the sweep together have four fifths at most, and the sweep its share. A tenth is kept for
-- each of them if it was refused within a window.
local function turn()
  local tenth, kept, background = math.floor(most / 10), 0, math.floor(0.8 * most)
  for n = 2, 3 do
    if n ~= wanted and state['refused' .. n] > now - span then kept = kept + math.max(0, tenth - state['count' .. n]) end
  end
  kept = math.min(kept, math.max(0, background - counted(2)))
  local ceilings, at = { most - kept, math.max(1, background), math.max(1, math.floor(ask.share * most)) }, now
  for rank = 1, wanted do at = math.max(at, below(ceilings[rank], rank)) end
  return math.min(at, more)
end

-- 8. The call is granted, or is told when it can be.
if limit > 0 then
  local at = turn()
  if at > now then
    if wanted > 1 then state['refused' .. wanted] = now end
    return reply('NO', at - now)
  end
  redis.call('ZADD', log, now, ask.id)
  redis.call('PEXPIRE', log, math.ceil(3 * span))
  state.last, state['count' .. wanted] = now, state['count' .. wanted] + 1
end
if state.closed > 0 then state.closed, state.probe = now + 1000 * ask.patience, ask.id end
return reply('OK', 0)
