-- Dresses one attempt for the target it goes to, and notes for the access log what it used. Runs as an upstream
-- filter, once per attempt.
--
-- The filter before this one joins what is needed in one header, for each look at Envoy's metadata costs:
--   x-trunkline-dress  <flags> <path prefix or -> <credential or -> <target> <model's name there, as a JSON string>
--                      TAB <number of this attempt> <id> <path> <usage or -> <model>
-- Before the tab, from the endpoint's metadata, what belongs to the target. flags: u, it understands stream_options;
-- n, it is a node and the credential its id; o, the node belongs to whoever asks; target: its id, percent-encoded.
-- Behind it, from the translator, which has read the body once, what is the same for all attempts:
--   id     the request's
--   path   path and query below the API version, e.g. /chat/completions
--   usage  <offset>:<length>:<text> that asks for usage on a stream whose client did not
--   model  <offset>:<length>:<kind>:<bytes> of the model in the body: j, a JSON string with its quotes, or f, the text
--          of a form's part; <bytes> are those there, empty where no header can carry them
--
-- Headers persist into the next attempt and the body does not, so every header is written anew each time.

-- What the access log is told: `failed`, the attempts before the last one, as <target>=<status>, 0 for no answer;
-- `usage`, the target's own usage object as text; `events` of a stream, as <events>:<bytes of them>. For ourselves, on streams: `asked`, whether
-- the gateway asked for usage.
local LEDGER = "trunkline.ledger"
local DRESS = "^(%S+) (%S+) (%S+) (%S+) ([^\t]*)\t(%d+) (%S+) (%S+) (%S+) (.*)$"

-- Where each request's attempt went, by its id, for the case that nothing comes back from there: in this worker's
-- memory, because a note costs as much as all the rest. The last thousands are remembered, in two generations.
local GENERATION = 8192
local recent, older, remembered = {}, {}, 0

local function remember(id, target)
  remembered = remembered + 1
  if remembered > GENERATION then
    recent, older, remembered = {}, recent, 1
  end
  recent[id] = target
end

-- Fetched anew each time: Envoy's objects do not outlive a wait for the body.
local function note(handle, key, value)
  handle:streamInfo():dynamicMetadata():set(LEDGER, key, value)
end

local function notes(handle)
  return handle:streamInfo():dynamicMetadata():get(LEDGER) or {}
end

local function note_failure(handle, failed, target, status)
  local failure = target .. "=" .. status
  note(handle, "failed", failed and failed .. " " .. failure or failure)
end

local function note_refusal(handle, status)
  local plan = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.ext_authz")["x-trunkline-plan"]
  local id = plan:match("^%S+")
  note_failure(handle, notes(handle).failed, recent[id] or older[id] or "-", status)
end

-- Before attempt `number`: the one before noted its failure itself, unless nothing came that it could have seen.
local function note_silence(handle, number, id)
  local failed = notes(handle).failed
  local _, known = (failed or ""):gsub("=", "")
  if known < number - 1 then note_failure(handle, failed, recent[id] or older[id] or "-", 0) end
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
  local flags, prefix, credential, target, name, attempt, id, path, usage, model =
    headers:get("x-trunkline-dress"):match(DRESS)
  headers:remove("x-trunkline-dress")
  local node = flags:find("n", 1, true)
  if attempt ~= "1" then
    note_silence(handle, tonumber(attempt), id)
    headers:remove("x-trunkline-node")
    headers:remove("x-trunkline-own")
  end
  remember(id, target)
  headers:replace(":path", prefix == "-" and path or prefix .. path)
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
  local offset, length, kind, bytes = model:match("^(%d+):(%d+):(%a):(.*)$")
  local text = kind == "f" and name:sub(2, -2) or name
  if bytes ~= text then
    edits[1] = { offset = tonumber(offset), length = tonumber(length), text = text }
  end
  if usage ~= "-" and flags:find("u", 1, true) then
    offset, length, text = usage:match("^(%d+):(%d+):(.*)$")
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

-- Inside a JSON string the quotes would be escaped, so this is a key and nothing else.
local USAGE = '"usage"'
local USAGE_OBJECT = '^"usage"%s*:%s*(%b{})'
local USAGE_BEGINS = '^"usage"%s*:%s*{'
local NO_CHOICES = '"choices"%s*:%s*%[%s*%]'
-- A usage object has a few hundred bytes; more than this is held for no chunk to come.
local LONGEST_USAGE = 4096

-- Where the next key `usage` with an object begins, from `from` on.
local function find_usage(text, from)
  local at = text:find(USAGE, from or 1, true)
  while at and not text:find(USAGE_BEGINS, at) do
    at = text:find(USAGE, at + #USAGE, true)
  end
  return at
end

-- The last whole usage object in `text` from `at` on counts: some servers report a running total in every event.
local function note_usage(handle, text, at)
  local found
  while at do
    found = text:match(USAGE_OBJECT, at) or found
    at = find_usage(text, at + #USAGE)
  end
  if found and #found <= LONGEST_USAGE then note(handle, "usage", found) end
end

-- A plain answer: looks for its usage without holding the body back.
local function follow_plain(handle)
  local rest
  for chunk in handle:bodyChunks() do
    local text = chunk:getBytes(0, chunk:length())
    if rest then text = rest .. text end
    local at = find_usage(text)
    if at then note_usage(handle, text, at) end
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
    if not (find_usage(event) and event:find(NO_CHOICES)) then kept[#kept + 1] = event end
    position = last + 1
  end
  return table.concat(kept)
end

-- Counts a stream's events, notes its usage, and takes the event that reports usage out where the gateway asked for
-- it and not the client: it has no choices, which many clients do not expect. Then an event in pieces is held until
-- it is whole; `[DONE]` ends the stream and may lack its blank line, so it is not.
local function follow_events(handle)
  local asked = notes(handle).asked
  local events, due, seen, held, delimiter = 0, 1, 0, "", nil
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    local text = held .. chunk:getBytes(0, length)
    seen = seen + length
    if not delimiter and text:find("\n", 1, true) then
      delimiter = text:find("\r\n", 1, true) and "\r\n\r\n" or "\n\n"
    end
    local usage = find_usage(text)
    if usage then note_usage(handle, text, usage) end
    local count, position = count_events(text, delimiter)
    events = events + count
    local tail = text:sub(position)
    -- A client may leave at any time, and each note costs as much as some events: every event at first, then each time
    -- that they are a quarter more. The log knows the bytes that were sent, which tell how many came since.
    if events >= due then
      note(handle, "events", events .. ":" .. seen - #tail)
      due = events < 8 and events + 1 or math.ceil(events * 1.25)
    end
    if asked and (usage or held ~= "" or tail ~= "") then
      local whole = text:sub(1, position - 1)
      if usage then whole = without_usage_event(whole, delimiter) end
      local ending = tail:find("^data: %[DONE%]") and tail or ""
      chunk:setBytes(whole .. ending)
      if ending ~= "" then tail = "" end
    end
    held = tail
  end
  note(handle, "events", events .. ":" .. seen - #held)
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  if status >= "400" then
    note_refusal(handle, status)
    if status == "401" or status == "403" then hide_refusal(handle, status) end
    return
  end
  local kind = headers:get("content-type") or ""
  if kind:find("text/event-stream", 1, true) == 1 then
    headers:remove("content-length")
    follow_events(handle)
  elseif kind:find("application/json", 1, true) == 1 then
    follow_plain(handle)
  end
end
