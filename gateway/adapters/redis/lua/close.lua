-- Promise: from now on no replica is granted a call until the time has passed that upstream named, or, where it named none, one that doubles with each refused probe; 429s of calls that were in flight only put it off.
-- A 429 also lowers the limit: what was spent within a window was too much. What is granted for later, or made up for an unknown past, was not sent; a call that waits for that asks anew. While the past is unknown the limit is halved at most.
-- KEYS gate, log, book, the log of each rank; ARGV seconds that upstream named (empty: none), jitter, first and last hold without a name, shortest and longest hold (seconds), keep (ms), limit (0: none), window (microseconds), how many of them a lowered limit takes for one, 1 for a 429. The same rule as core/budget/breaker.Gate.close.

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
if ARGV[11] == '1' and limit > 0 and not is_straggler then
  make_room(KEYS[2], 'zset')
  make_room(KEYS[3], 'hash')
  for n = 2, #KEYS do
    if n ~= 3 then redis.pcall('ZREMRANGEBYSCORE', KEYS[n], '(' .. text(at), '+inf') end
  end
  local holds, born = lowered(KEYS[3], limit, span * parts, at), read_book(KEYS[3], 'born') or 0
  local is_known = born <= at - span
  local since = is_known and '(' .. text(at - span) or text(born)
  local spent = redis.call('ZCOUNT', KEYS[2], since, text(at))
  if not is_known then spent = math.max(spent, math.floor(limit / 2)) end
  local kept = math.max(1, math.floor(limit / LEAST), math.floor(spent * KEPT))
  if spent > 0 then lower(KEYS[3], math.min(holds, kept), at, ARGV[7]) end
end

write_gate(KEYS[1], { closed_until = closed_until, probe = 0, refusals = refusals }, ARGV[7])
return { time[1], time[2], text(closed_until - at) }
