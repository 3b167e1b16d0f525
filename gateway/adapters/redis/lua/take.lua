-- Promise: of all replicas together never more than `limit` calls are granted in any window, none while the gate is closed, and one, the probe, when it is due to reopen; each rank has its floor and its ceiling.
-- KEYS log, gate, book, the log of each rank; ARGV limit (0: none), window, how many of them a lowered limit takes for one, free calls of an unknown past, patience with a probe (all times in microseconds), keep of all (ms), which rank asks, its patience, 1 where the replica has seen a log before, then floor, ceiling and 1 or 0 for "always kept" of each rank.

local limit, span, parts, free, patience, keep, rank, waits, has_seen = unpack(ARGV, 1, 9)
limit, span, patience, rank, waits = tonumber(limit), tonumber(span), tonumber(patience), tonumber(rank), tonumber(waits)
local time, at = now()
local log, book = KEYS[1], KEYS[3]
local gate = read_gate(KEYS[2], at)
local stamp = at
make_room(log, 'zset')
make_room(book, 'hash')
local full = limit
if limit > 0 then limit = lowered(book, limit, span * parts, at) end
local window = { log = log, book = book, limit = limit, span = span, rank = rank, ranks = {}, floors = {}, ceilings = {}, always = {} }
for n = 1, #KEYS - 3 do
  window.ranks[n] = KEYS[n + 3]
  make_room(window.ranks[n], 'zset')
  local floor, ceiling = tonumber(ARGV[3 * n + 7]), tonumber(ARGV[3 * n + 8])
  window.floors[n] = full > 0 and math.floor(floor * limit / full) or 0
  window.ceilings[n] = full > 0 and math.max(1, math.floor(ceiling * limit / full)) or 0
  window.always[n] = ARGV[3 * n + 9] == '1'
end

-- Nothing is known of the past (flushed, lost, or the clock went back): as if the calls beyond
-- the free ones had been sent evenly, so that one more may go each time one of them is old, and
-- each rank had had as much of its floor as was spent of the limit.
local function start_paced()
  redis.call('DEL', log, unpack(window.ranks))
  if tonumber(free) < full then write_book(book, 'born', at, keep) end
  local all, theirs, when = {}, {}, 0
  for place = 1, #window.ranks do theirs[place] = {} end
  for n = 1, limit - free do
    when = math.max(when + 1, math.floor(at - span + n * span / limit))
    all[n] = text(when)
    for place, floor in ipairs(window.floors) do
      if math.floor(n * floor / limit) > math.floor((n - 1) * floor / limit) then table.insert(theirs[place], all[n]) end
    end
  end
  charge_all(log, all, keep)
  for place, stamps in ipairs(theirs) do charge_all(window.ranks[place], stamps, keep) end
end

local function reply(word, wait)
  local available = limit > 0 and limit - later(log, at - span) or 0
  local closed_for = gate and math.max(0, gate.closed_until - at) or 0
  return { time[1], time[2], word, text(wait), text(math.max(0, available)), text(closed_for), text(stamp), gate and gate.probe > 0 and 1 or 0, limit }
end

if gate and at < gate.closed_until then return reply('closed', gate.closed_until - at) end
if gate then waits = 0 end -- who probes does so now

if limit > 0 then
  local last = tonumber(redis.call('ZRANGE', log, -1, -1, 'WITHSCORES')[2]) or -1
  -- Lost: the replicas tell what they have seen before anything is granted on a guess.
  local settles = read_book(book, 'settles') or 0
  if last < 0 and has_seen == '1' and settles == 0 then
    settles = at + SETTLES
    write_book(book, 'settles', settles, keep)
  end
  if at < settles and settles <= at + SETTLES then return reply('settling', settles - at) end
  if settles > 0 then write_book(book, 'settles', 0, keep) end
  if last < 0 or last > at + span + 1000000 then
    start_paced()
    write_book(book, 'life', at, keep)
    last = at - span
  end
  -- It lives as long as the log does, and a log of an older release gets one.
  if read_book(book, 'life') then redis.call('PEXPIRE', book, keep) else write_book(book, 'life', at, keep) end
  -- The newest stays, however old: that nothing was sent since is knowledge, too.
  redis.call('ZREMRANGEBYSCORE', log, '-inf', text(math.min(at - span, last - 1)))
  local mine = window.ranks[rank]
  redis.call('ZREMRANGEBYSCORE', mine, '-inf', text(at - span))
  local turn = turn_of(window, at)
  if turn - at > waits then
    write_book(book, rank, at, keep)
    return reply('exhausted', turn - at)
  end
  stamp = charge({ log, mine }, turn, keep)
end

if gate then
  gate.closed_until, gate.probe = at + patience, stamp
  write_gate(KEYS[2], gate, keep)
end
return reply('granted', math.max(0, stamp - at))
