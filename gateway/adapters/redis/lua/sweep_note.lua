-- Promise: only who leads says how the sweep stands; the trainings that a complete one met are the known ones from then on, at once and all together.
-- KEYS lead, progress, met, known; ARGV token, progress, keep (ms), `complete`, `incomplete` or empty where no sweep came to its end.

local time = redis.call('TIME')
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return { time[1], time[2], 0 } end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if ARGV[4] == 'complete' and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('RENAME', KEYS[3], KEYS[4])
  redis.call('PEXPIRE', KEYS[4], ARGV[3])
elseif ARGV[4] ~= '' then
  redis.call('DEL', KEYS[3])
end
return { time[1], time[2], 1 }
