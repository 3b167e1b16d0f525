-- Scripts of the bus and of the heartbeats. They share one record, a hash: `life`, a word that is new after each loss of the record; `last`, the word of the last notice; `settled`, once a replica has seen this life for longer than any replica may serve entries from before it; and for each replica `m:` and its name: the word of its last heartbeat.

local KEEP = 24 * 60 * 60 * 1000

local function is_word(text)
  return type(text) == 'string' and string.match(text, '^%x+$') ~= nil and #text == 16
end

-- Begins a new life if the record is lost, or if another program wrote it.
local function find(record, life, last)
  if redis.call('TYPE', record).ok == 'hash' then
    local known = redis.call('HMGET', record, 'life', 'last')
    if is_word(known[1]) and is_word(known[2]) then return known[1], known[2] end
  end
  redis.call('DEL', record)
  redis.call('HSET', record, 'life', life, 'last', last)
  return life, last
end

-- script: beat
-- Promise: notes the heartbeat, and that the life is settled if the replica says so. Forgets the silent replicas, unless another heartbeat of theirs has come. Returns the record.
-- KEYS record; ARGV replica, the words of the heartbeat and of a new life, the life that is settled (or ''), and for each silent replica its name and its last heartbeat.

local time = redis.call('TIME')
if find(KEYS[1], ARGV[3], ARGV[2]) == ARGV[4] then redis.call('HSET', KEYS[1], 'settled', 1) end
for n = 5, #ARGV, 2 do
  local field = 'm:' .. ARGV[n]
  if redis.call('HMGET', KEYS[1], field)[1] == ARGV[n + 1] then redis.call('HDEL', KEYS[1], field) end
end
redis.call('HSET', KEYS[1], 'm:' .. ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], KEEP)
return { time[1], time[2], redis.call('HGETALL', KEYS[1]) }

-- script: tell
-- Promise: publishes the notice with the word of the notice before it and a word of its own. Returns the record.
-- KEYS record; ARGV the word of the notice, channel, notice, the word of a new life.

local time = redis.call('TIME')
local _, last = find(KEYS[1], ARGV[4], ARGV[4])
redis.call('HSET', KEYS[1], 'last', ARGV[1])
redis.call('PUBLISH', ARGV[2], last .. ' ' .. ARGV[1] .. ' ' .. ARGV[3])
return { time[1], time[2], redis.call('HGETALL', KEYS[1]) }
