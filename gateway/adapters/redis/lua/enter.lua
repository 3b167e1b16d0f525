-- Promise: a call whose turn was waited for counts from now on; where the gate was closed meanwhile it is undone, and told so, as is one that is not known any more (lost, or undone by a 429), or whose place is kept for a replica that was not heard since.
-- KEYS log, gate, book, the log of each rank; ARGV stamp of the charge, name of the replica, limit (0: none), window (microseconds), how many of them a lowered limit takes for one, after how long without a word a replica spends its part alone, and after how long it is forgotten.

local limit, span = tonumber(ARGV[3]), tonumber(ARGV[4])
local time, at = now()
local log, book, gate = KEYS[1], KEYS[3], read_gate(KEYS[2], at)
local is_closed = gate and at < gate.closed_until
local may_go = not is_closed and redis.call('TYPE', log).ok == 'zset' and redis.call('ZSCORE', log, ARGV[1])
if may_go and limit > 0 then
  make_room(book, 'hash')
  local holds = lowered(book, limit, span * ARGV[5], at)
  local spare = kept_for_others(book, limit, holds, at, tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[2])
  local sent = redis.call('ZCOUNT', log, '(' .. text(at - span), text(at))
  may_go = spare == 0 or sent + spare <= holds
end
local stamp = may_go and at or 0
for n = 1, #KEYS do
  if n ~= 2 and n ~= 3 and redis.pcall('ZREM', KEYS[n], ARGV[1]) == 1 and may_go then
    if n == 1 then
      while redis.call('ZSCORE', log, text(stamp)) do stamp = stamp + 1 end
    end
    redis.call('ZADD', KEYS[n], text(stamp), text(stamp))
  end
end
return { time[1], time[2], text(is_closed and gate.closed_until - at or 0), text(stamp), gate and gate.probe > 0 and 1 or 0 }
