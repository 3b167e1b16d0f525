-- A caller that goes through many ids over each connection, with headers of wrk's choosing.
-- Arguments: kind (repeated | changing | conditional | absent), number of ids, token; or miss, the
-- number of the first id, and token: each request is for the next id.
local kind, ids, token
local at, made = 0, 0
local ready = {}

local function head(id, extra)
  return "GET /training/" .. id .. " HTTP/1.1\r\nHost: gateway.internal\r\nAuthorization: Bearer "
    .. token .. "\r\nAccept: application/json\r\nUser-Agent: bench\r\n" .. extra .. "\r\n"
end

function init(args)
  kind, ids, token = args[1], tonumber(args[2]), args[3]
  if kind == "miss" then
    at = ids - 1
    return
  end
  math.randomseed(os.time())
  local tags = {}
  if kind == "conditional" then
    for line in io.lines(args[4]) do tags[#tags + 1] = line end
  end
  for n = 1, ids do
    local id = string.format("trn_%06d", n)
    if kind == "absent" then id = "absent-" .. n end
    local extra = tags[n] and ("If-None-Match: " .. tags[n] .. "\r\n") or ""
    ready[n] = kind == "changing" and id or head(id, extra)
  end
end

function request()
  if kind == "miss" then
    at = at + 1
    return head(string.format("trn_%06d", at), "")
  end
  at = at % ids + 1
  if kind ~= "changing" then return ready[at] end
  made = made + 1
  local trace = string.format("%016x%08x", made, math.random(0, 2147483647))
  return head(ready[at], "traceparent: 00-" .. trace .. "deadbeef-" .. string.sub(trace, 1, 16)
    .. "-01\r\nX-Request-ID: " .. trace .. "\r\n")
end
