-- Promise: tells a replica all that is known of the last window, and hears from it what it spent since without Redis. Where nothing is known a new life of the log begins: with a past that is made up, or, for a replica that knew another life, with nothing granted until all who did have told theirs, or a window has passed.
-- KEYS log, gate, book, the log of each rank; ARGV limit, window (microseconds), how many of them a lowered limit takes for one, keep (ms), free calls of an unknown past, the most calls to tell one by one: where there are more, every n-th stands for n; name of the replica, the life and the time that it saw last (0: none), how many replicas it knew, its part of the limit, how many calls of its claim are left, a life that is to be forgotten since the clock was set (0: none), after how long without a word a replica spends its part alone, and after how long it is forgotten, how many calls it tells of, the age of each, then the floor of each rank.

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
local holds = lowered(book, limit, span * parts, at)

-- As if the calls beyond the free ones had been sent evenly, so that one more may go each time one
-- of them is old, and each rank had had as much of its floor as was spent of the limit.
local function make_up_past()
  if free < limit then write_book(book, 'born', at, keep) end
  local all, theirs, when = {}, {}, 0
  for place = 1, #ranks do theirs[place] = {} end
  for n = 1, holds - free do
    when = math.max(when + 1, math.floor(at - span + n * span / holds))
    all[n] = text(when)
    for place = 1, #ranks do
      local floor = math.floor(tonumber(ARGV[16 + told + place]) * holds / limit)
      if math.floor(n * floor / holds) > math.floor((n - 1) * floor / holds) then table.insert(theirs[place], all[n]) end
    end
  end
  charge_all(log, all, keep)
  for place, stamps in ipairs(theirs) do charge_all(ranks[place], stamps, keep) end
end

if not life or life == tonumber(wrong) then
  local low, lowered_at = read_book(book, 'limit'), read_book(book, 'lowered')
  redis.call('DEL', log, book, unpack(ranks))
  if low and lowered_at then lower(book, low, lowered_at, keep) end
  life = math.max(at, known + 1)
  write_book(book, 'life', life, keep)
  write_book(book, 'since', at, keep)
  charge({ log }, NEVER, keep)
  if known == 0 then make_up_past() end
end
local since = read_book(book, 'since') or 0
if known > 0 and known ~= life and at < since + span then
  write_book(book, 'expected', math.max(tonumber(others), read_book(book, 'expected') or 0), keep)
end
redis.call('PEXPIRE', log, keep)

-- Half of what is known to be unspent is for the replicas to spend without asking, should they lose
-- sight of this: an equal part of it each. Once nobody hears of it a replica has a part of the limit: an
-- equal one, as far as the parts of the others leave it. It goes by what it heard before until it tells
-- that it has heard of this one, and by nothing where it asked before that.
local kept, all, is_told, _, quiet, parts = kept_for_others(book, limit, holds, at, tonumber(silent), tonumber(gone), name)
local claim, part = 0, 0
if known == life then
  for n = 17, 16 + told do charge({ log }, math.max(1, at - tonumber(ARGV[n])), keep) end
  local last, before, has, had = read_replica(redis.call('HGET', book, 'r' .. name))
  if seen >= last then
    local free = is_told and holds - later(log, at - span) or 0
    part = math.max(0, math.min(equal_part(limit, all), limit - parts))
    claim = math.max(0, math.min(free - kept, math.floor(free / (2 * all)), part_of(part, limit, holds)))
    if before == seen then has, had = 0, 0 end
    write_replica(book, name, seen, at, math.max(claim, tonumber(left), has), math.max(part, tonumber(own), had))
  end
end
local stamps = redis.call('ZRANGEBYSCORE', log, '(' .. text(math.max(0, at - span)), '+inf')
local every, ages = math.max(1, math.ceil(#stamps / most)), {}
for n = every, #stamps, every do ages[#ages + 1] = text(at - (tonumber(stamps[n]) or at)) end
local closed_for = gate and math.max(0, gate.closed_until - at) or 0
return { time[1], time[2], holds, text(closed_for), #stamps, every, text(at), text(life), all, quiet, claim, part, part_of(part, limit, holds), unpack(ages) }
