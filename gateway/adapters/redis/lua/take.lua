-- Promise: of all replicas together never more than `limit` calls are granted in any window, none while the gate is closed, and one, the probe, when it is due to reopen.
-- KEYS log, gate; ARGV limit (0: none), window, free calls of an unknown past, patience with a probe (all times in microseconds), keep of log and gate (ms).

local limit, window, free, patience = unpack(ARGV, 1, 4)
limit, window, patience = tonumber(limit), tonumber(window), tonumber(patience)
local keep = ARGV[5]
local time, at = now()
local gate = read_gate(KEYS[2], at)
local stamp = at
make_room(KEYS[1], 'zset')

local function newest()
  return tonumber(redis.call('ZRANGE', KEYS[1], -1, -1)[1]) or -1
end

local function charge(when)
  redis.call('ZADD', KEYS[1], text(when), text(when))
  redis.call('PEXPIRE', KEYS[1], keep)
end

-- Nothing is known of the past (flushed, lost, or the clock went back): as if the calls beyond
-- the free ones had been sent evenly, so that one more may go each time one of them is old.
local function start_paced()
  redis.call('DEL', KEYS[1])
  for n = 1, limit - free do charge(math.floor(at - window + n * window / limit)) end
end

local function reply(word, wait)
  local available = limit - redis.call('ZCOUNT', KEYS[1], '(' .. text(at - window), '+inf')
  local closed_for = gate and math.max(0, gate.closed_until - at) or 0
  return { time[1], time[2], word, text(wait), text(math.max(0, available)), text(closed_for), text(stamp) }
end

if gate and at < gate.closed_until then return reply('closed', gate.closed_until - at) end

if limit > 0 then
  local last = newest()
  if last < 0 or last > at + 1000000 then
    start_paced()
    last = newest()
  end
  -- The newest stays, however old: that nothing was sent since is knowledge, too.
  local old = math.min(at - window, last - 1)
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(old))
  local spent = redis.call('ZCOUNT', KEYS[1], '(' .. text(at - window), '+inf')
  if spent >= limit then
    local first = tonumber(redis.call('ZRANGE', KEYS[1], -limit, -limit)[1]) or at
    return reply('exhausted', first + window - at)
  end
  stamp = math.max(at, last + 1)
  charge(stamp)
end

if gate then
  gate.closed_until, gate.probe = at + patience, stamp
  write_gate(KEYS[2], gate, keep)
end
return reply('granted', 0)
