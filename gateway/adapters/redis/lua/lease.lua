-- Scripts of the lease of a fetch. elect needs mark.lua. The functions here read the record of a lease and keep the list of its followers.
-- The record of a lease is `held token` with the words of the mark and, for some time after the end of the fetch, `ended token ending`.

local LONGEST = 30000  -- ms; no gateway takes a lease for longer

-- nil if there is no lease that can be read. The fetch then has no leader. A lease without an expiry, or with an expiry later than LONGEST, counts as absent too, because it might never end.
local function read_lease(key)
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' then return nil end  -- absent, or a value of another type, which is then overwritten
  local token, words = string.match(raw, '^held (%x+) (%x+ %x+ %x+)$')
  if token then
    local left = redis.call('PTTL', key)
    if left < 0 or left > LONGEST then return nil end
    return { token = token, words = words }
  end
  local whose, ending = string.match(raw, '^ended (%x+) (.+)$')
  return whose and { token = whose, ending = ending }
end

local function is_held_by(lease, token)
  return lease and not lease.ending and lease.token == token
end

local function follow(list, replica, keep)
  if redis.call('TYPE', list).ok ~= 'set' then redis.call('DEL', list) end
  redis.call('SADD', list, replica)
  redis.call('PEXPIRE', list, keep)
end

-- script: elect
-- Promise: keeps the promise of the script `make` in marks.lua. While the lease lasts, only one of the replicas that ask leads the fetch. Another replica may lead if an order about the training came since the leader's fetch began. The other replicas learn which fetch they follow, and are put on the list of followers.
-- KEYS mark, entry, lease, followers; ARGV new mark, keep of a new mark, token, lifetime of the lease, replica, keep of the list (all times in ms).

local mark, facts = make_mark(KEYS[1], ARGV[1], ARGV[2]), get(KEYS[2], FACTS)
local words = string.match(mark, '^%x+ %x+ %x+')
local token, lifetime, replica, keep = unpack(ARGV, 3, 6)
local time, lease = redis.call('TIME'), read_lease(KEYS[3])
local stamp = string.format('%010d%06d', time[1], time[2])
if lease and not lease.ending and lease.words == words then
  follow(KEYS[4], replica, keep)
  return { time[1], time[2], mark, stamp, lease.token, 0, facts }
end
redis.call('SET', KEYS[3], string.format('held %s %s', token, words), 'PX', lifetime)
return { time[1], time[2], mark, stamp, token, 1, facts }

-- script: renew
-- Promise: the lease lasts for another lifetime, if it is still held with this token.
-- KEYS lease; ARGV token, lifetime (ms).

local time = redis.call('TIME')
local holds = is_held_by(read_lease(KEYS[1]), ARGV[1])
if holds then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return { time[1], time[2], holds and 1 or 0 }

-- script: release
-- Promise: ends the lease, if it is held with this token. The replicas on the list of followers, and no others, are told how the fetch ended. If there are followers, the ending can be read for some time as well.
-- KEYS lease, followers; ARGV token, ending, keep of the ending (ms), prefix of the followers' channels.

local token, ending, keep, channels = unpack(ARGV)
local time = redis.call('TIME')
if not is_held_by(read_lease(KEYS[1]), token) then return { time[1], time[2], 0 } end
local followers = redis.pcall('SMEMBERS', KEYS[2])
if #followers == 0 then
  redis.call('DEL', KEYS[1])
else
  local message = string.format('ended %s %s', token, ending)
  redis.call('SET', KEYS[1], message, 'PX', keep)
  redis.call('DEL', KEYS[2])
  for _, replica in ipairs(followers) do redis.call('PUBLISH', channels .. replica, message) end
end
return { time[1], time[2], 1 }

-- script: watch
-- Promise: returns one of three states: the lease is still held with this token; that fetch has ended, with its ending; or the lease is gone (no fetch has it, or another one). While the lease is held with this token, this replica stays on the list of followers.
-- KEYS lease, followers; ARGV token, replica, keep of the list (ms).

local time = redis.call('TIME')
local lease = read_lease(KEYS[1])
if is_held_by(lease, ARGV[1]) then
  follow(KEYS[2], ARGV[2], ARGV[3])
  return { time[1], time[2], 'held' }
end
if lease and lease.token == ARGV[1] then return { time[1], time[2], 'ended', lease.ending } end
return { time[1], time[2], 'gone' }
