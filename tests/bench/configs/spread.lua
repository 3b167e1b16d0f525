-- Callers that ask for any of many trainings, each with any of many tokens.
-- Arguments: number of ids, number of tokens.
local ids, tokens

function init(args)
  ids, tokens = tonumber(args[1]), tonumber(args[2])
  math.randomseed(7)
end

function request()
  return string.format("GET /training/trn_%06d HTTP/1.1\r\nHost: gateway.internal\r\n"
    .. "Authorization: Bearer t-%d\r\nAccept: application/json\r\nUser-Agent: bench\r\n\r\n",
    math.random(ids), math.random(tokens))
end
