-- Limits the size and the slowness of request bodies while they pass.
--
-- `filter lua.bodies <service> max <bytes> behind <seconds>`; `max` and `behind` are optional. HAProxy
-- 2.6 can do neither without Lua. The error pages in `PAGES` are read when this script is loaded: the
-- filters run in the chroot, where these files are out of reach.

local LEAST_RATE = 500 -- bytes/s, as Apache's RequestReadTimeout has it by default
local TEXTS = {
  [408] = "The request's body came too slowly.\n",
  [413] = "The request's body is larger than allowed.\n",
}

local pages = {}
for _, path in ipairs(PAGES) do
  local page = assert(io.open(path, "rb"))
  pages[path:match("[^/]*$")] = page:read("a")
  page:close()
end

local function seconds()
  local now = core.now()
  return now.sec + now.usec / 1e6
end

local function refuse(self, txn, message, status)
  self.refused = true -- 2.6.12 and 3.0.11 may call once more, and a second answer spoils the first
  message:remove(0) -- they take what is left in the buffer for forwarded, whatever a filter returns
  if self.answered then -- too late for another answer: the connection ends
    txn:done()
  end
  local page = pages[self.service .. "-" .. status .. ".html"]
  local body = page or TEXTS[status]
  txn:done(txn:reply({
    status = status,
    headers = {
      ["content-type"] = { page and "text/html; charset=utf-8" or "text/plain; charset=utf-8" },
      ["content-length"] = { tostring(#body) },
    },
    body = body,
  }))
end

local bodies = { id = "bodies", flags = filter.FLT_CFG_FL_HTX }

local function is_tunnel(headers) -- a WebSocket in HTTP/2
  return headers["upgrade"] and not headers["content-length"] and not headers["transfer-encoding"]
end

function bodies:http_headers(txn, message)
  if message.channel:is_resp() then
    self.answered = true
  elseif not message:eom() and not is_tunnel(message:get_headers()) then
    filter.register_data_filter(self, message.channel)
  end
  return filter.CONTINUE
end

function bodies:http_payload(txn, message)
  if self.refused then
    return
  end
  local size = message:input()
  if self.max and self.size + size > self.max then
    -- `input` also counts the end of a chunked body and its trailers.
    size = #(message:body() or "")
    if self.size + size > self.max then
      refuse(self, txn, message, 413)
    end
  end
  self.size = self.size + size
  if self.behind then
    local now = seconds()
    -- While data waits to be sent, the application is the slow one.
    local waited = self.seen and message:output() == 0 and now - self.seen or 0
    self.late = math.max(0, self.late + waited - size / LEAST_RATE)
    self.seen = now
    if self.late > self.behind then
      refuse(self, txn, message, 408)
    end
  end
end

core.register_filter("bodies", bodies, function(made, arguments)
  made.__index = made
  made.service = arguments[1]
  for index = 2, #arguments, 2 do
    made[arguments[index]] = tonumber(arguments[index + 1])
  end
  made.new = function(class)
    return setmetatable({ size = 0, late = 0, answered = false }, class)
  end
  return made
end)
