-- Scripts of the sweep: which replica leads it, and how far it has come.

-- script: take
-- Promise: at most one replica at a time leads the sweep of a partition, and all replicas see how far it has come. All replicas also see whether callers of any replica have read from the partition lately.
-- KEYS lead, progress, reads; ARGV token, lifetime (ms), 1 if callers of this replica have read from the partition, how long such a read counts (ms).

local time = redis.call('TIME')
local stamp = string.format('%010d%06d', time[1], time[2])
if ARGV[3] == '1' then redis.call('SET', KEYS[3], '1', 'PX', ARGV[4]) end
local leader = redis.pcall('GET', KEYS[1])
local leads = not leader or type(leader) ~= 'string' or leader == ARGV[1]
if leads then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
local progress = redis.pcall('GET', KEYS[2])
if type(progress) ~= 'string' then progress = '' end
return { time[1], time[2], leads and 1 or 0, progress, redis.call('EXISTS', KEYS[3]), stamp }

-- script: note
-- Promise: only the leader notes the progress, and what a page changed in the catalogue.
-- KEYS lead, progress, head and page of the catalogue; ARGV token, progress, keep (ms), head, page ('' if there is none).

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[3])
  redis.call('SET', KEYS[4], ARGV[5], 'PX', ARGV[3])
end
return { time[1], time[2], 1 }
