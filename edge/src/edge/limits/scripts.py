"""The limits' scripts in Redis.

A window is one number, the time at which all that was taken from it would be used up (GCRA's theoretical arrival time),
in microseconds by Redis' own clock: no replica's clock counts. Taking moves it by the increment; it must not come to
lie further ahead than the capacity. A window that is used up entirely is no key at all.

A slot set holds the runs that go on, each with the end of its lease as its score.
"""

from typing import Final

DEBT: Final = 2
"""A window is at most so many capacities ahead: a run that used much more than was expected blocks nobody for longer.
What lies further ahead was written before the clock was set back, and does not count."""

TAKE: Final = f"""
-- Takes from all windows and a place in all sets of slots, or from none.
-- KEYS: windows, then sets of slots. ARGV: number of windows, run, lease; for each window increment and capacity; for
-- each set its limit. Answers 1 or 0, how far each window is ahead, how many places of each set others hold.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local windows, answer, ahead = tonumber(ARGV[1]), {{1}}, {{}}
for i = 1, windows do
  local increment, capacity = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  local used = math.max((redis.call('GET', KEYS[i]) or now) - now, 0)
  if used > {DEBT} * capacity then used = 0 end
  if used + increment > capacity then answer[1] = 0 end
  ahead[i], answer[i + 1] = used + increment, used
end
for i = windows + 1, #KEYS do
  local held = redis.call('ZCOUNT', KEYS[i], '(' .. string.format('%.0f', now), '+inf')
  local mine = redis.call('ZSCORE', KEYS[i], ARGV[2])
  if mine and tonumber(mine) > now then held = held - 1 end
  if held >= tonumber(ARGV[windows + 3 + i]) then answer[1] = 0 end
  answer[i + 1] = held
end
if answer[1] == 0 then return answer end
for i = 1, windows do
  if ahead[i] > answer[i + 1] then
    redis.call('SET', KEYS[i], string.format('%.0f', now + ahead[i]), 'PX', math.ceil(ahead[i] / 1000))
  end
  answer[i + 1] = ahead[i]
end
local lease = tonumber(ARGV[3])
for i = windows + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now))
  redis.call('ZADD', KEYS[i], string.format('%.0f', now + lease), ARGV[2])
  redis.call('PEXPIRE', KEYS[i], math.ceil(lease / 1000) + 1000)
end
return answer
"""

CORRECT: Final = f"""
-- Moves one window, whatever its capacity: what was taken turned out to be more or less, or was taken elsewhere.
-- KEYS: window. ARGV: how far it is ahead at least, how far it is moved then, capacity. Answers how far it is ahead.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used, most = (redis.call('GET', KEYS[1]) or now) - now, {DEBT} * tonumber(ARGV[3])
if used > most then used = 0 end
used = math.min(math.max(used, tonumber(ARGV[1]), 0) + tonumber(ARGV[2]), most)
if used <= 0 then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], string.format('%.0f', now + used), 'PX', math.ceil(used / 1000))
return used
"""

HOLD: Final = """
-- Renews the leases of runs in one set of slots.
-- KEYS: slots. ARGV: lease, 1 when only runs that are there are renewed, then runs.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lease = tonumber(ARGV[1])
local till = string.format('%.0f', now + lease)
for i = 3, #ARGV do
  if ARGV[2] == '1' then redis.call('ZADD', KEYS[1], 'XX', till, ARGV[i])
  else redis.call('ZADD', KEYS[1], till, ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[1], math.ceil(lease / 1000) + 1000)
return 1
"""
