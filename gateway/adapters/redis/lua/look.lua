-- Promise: changes nothing; tells what holds of the limit, how long the gate is closed, and when each call of the last window was (later than now: it is granted for then), and in which life of the log.
-- KEYS log, gate, book; ARGV limit (0: none), window (microseconds), how many of them a lowered limit takes for one, the most of them to tell: where there are more, every n-th stands for n.

local limit, span, parts, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time, at = now()
local gate = read_gate(KEYS[2], at)
local is_log = redis.call('TYPE', KEYS[1]).ok == 'zset'
local is_book = redis.call('TYPE', KEYS[3]).ok == 'hash'
local holds = limit > 0 and is_book and lowered(KEYS[3], limit, span * parts, at) or limit
local stamps = is_log and redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(at - span), '+inf') or {}
local every, told = math.max(1, math.ceil(#stamps / most)), {}
for n = every, #stamps, every do told[#told + 1] = text(tonumber(stamps[n]) or at) end
local closed_for = gate and math.max(0, gate.closed_until - at) or 0
local life = is_book and read_book(KEYS[3], 'life') or 0
return { time[1], time[2], holds, text(closed_for), #stamps, every, text(at), text(life), unpack(told) }
