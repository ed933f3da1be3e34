-- Dresses one attempt for the target it goes to. Runs as an upstream filter, once per attempt.
--
-- What is the same for all attempts comes as dynamic metadata from the translator, which has read the body once:
--   x-trunkline-path   path and query below the API version, e.g. /chat/completions
--   x-trunkline-model  <offset>:<length>:<kind>:<bytes> of the model in the body: j, a JSON string with its quotes,
--                      or f, the text of a form's part; <bytes> are those there, empty where no header can carry them
--   x-trunkline-usage  <offset>:<length>:<text> that asks for usage on a stream whose client did not
-- What belongs to the target comes from its endpoint metadata, in one header that the filter before this one sets:
--   x-trunkline-dress  <flags> <path prefix or -> <credential or -> <target> <model's name there, as a JSON string>
--                      flags: u, the target understands stream_options; n, it is a node and the credential its id;
--                      o, the node belongs to whoever asks; target: its id, percent-encoded
--
-- Headers persist into the next attempt and the body does not, so every header is written anew each time.

local NAMESPACE = "envoy.filters.http.ext_authz"
-- Whether there is an access log to take notes for; the control plane writes `true` here where there is.
local KEEPS_LEDGER = false
-- What the access log is told: `tried`, the targets of all attempts in order; `refused`, those that answered with an
-- error, as <target>=<status>; `usage`, the target's own usage object as text; `events` of a stream.
local LEDGER = "trunkline.ledger"

-- Fetched anew each time: Envoy's objects do not outlive a wait for the body.
local function note(handle, key, value)
  handle:streamInfo():dynamicMetadata():set(LEDGER, key, value)
end

local function noted(handle, key)
  local ledger = handle:streamInfo():dynamicMetadata():get(LEDGER)
  return ledger and ledger[key]
end

-- Adds to a list that the attempts before may have begun.
local function note_also(handle, key, value)
  local before = noted(handle, key)
  note(handle, key, before and before .. " " .. value or value)
end

local function splice(body, edits)
  local parts, position = {}, 1
  for _, edit in ipairs(edits) do
    parts[#parts + 1] = body:sub(position, edit.offset)
    parts[#parts + 1] = edit.text
    position = edit.offset + edit.length + 1
  end
  parts[#parts + 1] = body:sub(position)
  return table.concat(parts)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local request = handle:streamInfo():dynamicMetadata():get(NAMESPACE)
  local dress = headers:get("x-trunkline-dress")
  local flags, prefix, credential, target, name = dress:match("^(%S+) (%S+) (%S+) (%S+) (.*)$")
  headers:remove("x-trunkline-dress")
  if KEEPS_LEDGER then
    note_also(handle, "tried", target)
    headers:remove("accept-encoding") -- a compressed answer would hide its usage
  end
  headers:replace(":path", (prefix == "-" and "" or prefix) .. request["x-trunkline-path"])
  local node = flags:find("n", 1, true)
  headers:remove("x-trunkline-node")
  headers:remove("x-trunkline-own")
  if node then
    headers:replace("x-trunkline-node", credential)
    if flags:find("o", 1, true) then headers:replace("x-trunkline-own", "1") end
  end
  if node or credential == "-" then
    headers:remove("authorization")
  else
    headers:replace("authorization", "Bearer " .. credential)
  end

  local edits = {}
  local model = request["x-trunkline-model"]
  if model then
    local offset, length, kind, bytes = model:match("^(%d+):(%d+):(%a):(.*)$")
    local text = kind == "f" and name:sub(2, -2) or name
    if bytes ~= text then
      edits[1] = { offset = tonumber(offset), length = tonumber(length), text = text }
    end
  end
  local usage = request["x-trunkline-usage"]
  if usage and flags:find("u", 1, true) then
    local offset, length, text = usage:match("^(%d+):(%d+):(.*)$")
    edits[#edits + 1] = { offset = tonumber(offset), length = tonumber(length), text = text }
    note(handle, "asked", true)
  end
  if #edits == 0 then
    return
  end
  table.sort(edits, function(a, b) return a.offset < b.offset end)
  local body = handle:body()
  body:setBytes(splice(body:getBytes(0, body:length()), edits)) -- sets content-length too
end

-- A provider's 401 or 403 is about the gateway's credential there, never about the client's key, and its text may
-- quote the credential. As 502 it is retried, counted against the target, and, if it is the last word, told truly.
local function hide_refusal(handle, status)
  handle:body(true):setBytes(
    '{"error":{"message":"The target refused the gateway\'s own credential (' .. status .. '). This is for the ' ..
    'gateway\'s operator to mend; your key is fine.","type":"server_error","param":null,' ..
    '"code":"upstream_authentication_failed"}}'
  )
  local headers = handle:headers()
  headers:replace(":status", "502")
  headers:replace("content-type", "application/json")
  headers:remove("www-authenticate")
end

-- Inside a JSON string the quotes would be escaped, so these bytes are a key and nothing else.
local USAGE = '"usage"%s*:%s*{'
local USAGE_OBJECT = '"usage"%s*:%s*(%b{})'
local NO_CHOICES = '"choices"%s*:%s*%[%s*%]'
-- A usage object has a few hundred bytes; more than this is held for no chunk to come.
local LONGEST_USAGE = 4096

-- The last whole usage object in `text` counts: some servers report a running total in every event.
local function note_usage(handle, text)
  local found
  for object in text:gmatch(USAGE_OBJECT) do found = object end
  if found and #found <= LONGEST_USAGE then note(handle, "usage", found) end
end

-- A plain answer: looks for its usage without holding the body back.
local function follow_plain(handle)
  local rest = ""
  for chunk in handle:bodyChunks() do
    local text = rest .. chunk:getBytes(0, chunk:length())
    local at = text:find('"usage"', 1, true)
    if at then note_usage(handle, text:sub(at)) end
    rest = text:sub(-LONGEST_USAGE)
  end
end

-- How many events end in `text`, and where what follows them begins.
local function count_events(text, delimiter)
  local count, position = 0, 1
  while delimiter do
    local _, last = text:find(delimiter, position, true)
    if not last then break end
    count, position = count + 1, last + 1
  end
  return count, position
end

-- Whole events without the one that reports usage.
local function without_usage_event(text, delimiter)
  local kept, position = {}, 1
  while position <= #text do
    local _, last = text:find(delimiter, position, true)
    local event = text:sub(position, last)
    if not (event:find(USAGE) and event:find(NO_CHOICES)) then kept[#kept + 1] = event end
    position = last + 1
  end
  return table.concat(kept)
end

-- Counts a stream's events, notes its usage, and takes the event that reports usage out where the gateway asked for
-- it and not the client: it has no choices, which many clients do not expect. Then an event in pieces is held until
-- it is whole; `[DONE]` ends the stream and may lack its blank line, so it is not.
local function follow_events(handle)
  local asked = noted(handle, "asked")
  local events, held, delimiter = 0, "", nil
  for chunk in handle:bodyChunks() do
    local text = held .. chunk:getBytes(0, chunk:length())
    if not delimiter and text:find("\n", 1, true) then
      delimiter = text:find("\r\n", 1, true) and "\r\n\r\n" or "\n\n"
    end
    local usage = text:find(USAGE)
    if usage and KEEPS_LEDGER then note_usage(handle, text:sub(usage)) end
    local count, position = count_events(text, delimiter)
    -- Exact to an event at first, to four later: a client may leave at any time, and each note costs.
    if KEEPS_LEDGER and count > 0 and (events < 16 or events % 4 + count >= 4) then note(handle, "events", events + count) end
    events = events + count
    local tail = text:sub(position)
    if asked and (usage or held ~= "" or tail ~= "") then
      local whole = text:sub(1, position - 1)
      if usage then whole = without_usage_event(whole, delimiter) end
      local ending = tail:find("^data: %[DONE%]") and tail or ""
      chunk:setBytes(whole .. ending)
      if ending ~= "" then tail = "" end
    end
    held = tail
  end
  if KEEPS_LEDGER then note(handle, "events", events) end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  if tonumber(status) >= 400 then
    if KEEPS_LEDGER then
      note_also(handle, "refused", noted(handle, "tried"):match("%S+$") .. "=" .. status)
    end
    if status == "401" or status == "403" then hide_refusal(handle, status) end
    return
  end
  local kind = headers:get("content-type") or ""
  if kind:find("^text/event%-stream") then
    if KEEPS_LEDGER or noted(handle, "asked") then
      headers:remove("content-length")
      follow_events(handle)
    end
  elseif KEEPS_LEDGER and kind:find("^application/json") then
    follow_plain(handle)
  end
end
