-- Promise: of all replicas together never more than `limit` calls are granted in any window, none while the gate is closed, and one, the probe, when it is due to reopen; each rank has its floor and its ceiling. What is kept for a replica that may only be slow is soon free again ('passing'). Nothing is granted to a replica that has not seen this life of the log lately ('look'), nor under a clock that is not the one it saw ('clock').
-- KEYS log, gate, book, the log of each rank; ARGV limit (0: none), window, how many of them a lowered limit takes for one, patience with a probe (all times in microseconds), keep of all (ms), which rank asks, its patience, name of the replica, the life and the time that it saw last, the time that it takes it to be and how far that may be wrong, after how long without a word a replica spends its part alone, and after how long it is forgotten, then floor, ceiling and 1 or 0 for "always kept" of each rank.

local limit, span, parts, patience, keep, rank, waits, name, life, seen, expected, error, silent, gone = unpack(ARGV, 1, 14)
limit, span, patience, rank, waits = tonumber(limit), tonumber(span), tonumber(patience), tonumber(rank), tonumber(waits)
life, seen, silent, gone = tonumber(life), tonumber(seen), tonumber(silent), tonumber(gone)
local time, at = now()
local log, book = KEYS[1], KEYS[3]
local gate = read_gate(KEYS[2], at)
local stamp, spare = at, 0
make_room(log, 'zset')
make_room(book, 'hash')

local function reply(word, wait)
  local available = limit > 0 and limit - spare - later(log, at - span) or 0
  local closed_for = gate and math.max(0, gate.closed_until - at) or 0
  return { time[1], time[2], word, text(wait), text(math.max(0, available)), text(closed_for), text(stamp), gate and gate.probe > 0 and 1 or 0, limit }
end

if gate and at < gate.closed_until then return reply('closed', gate.closed_until - at) end
if gate then waits = 0 end -- who probes does so now

if limit > 0 then
  if math.abs(at - tonumber(expected)) > tonumber(error) then return reply('clock', 0) end
  if life ~= life_of(log, book) or at - seen > silent then return reply('look', 0) end
  local last, told, claim, part = read_replica(redis.call('HGET', book, 'r' .. name))
  local full, all, is_told, is_slow = limit, 0, true, false
  limit = lowered(book, limit, span * parts, at)
  spare, all, is_told, is_slow = kept_for_others(book, full, limit, at, silent, gone, name)
  -- Its own claim it may use as long as it counts by that one.
  if told ~= seen then spare = math.min(limit - 1, spare + claim) end
  local settles = read_book(book, 'since') + span
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
  -- The newest stays, however old: that nothing was sent since is knowledge, too.
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
  write_replica(book, name, math.max(seen, last), told, told == seen and math.max(0, claim - 1) or claim, part)
end

if gate then
  gate.closed_until, gate.probe = at + patience, stamp
  write_gate(KEYS[2], gate, keep)
end
return reply('granted', math.max(0, stamp - at))
