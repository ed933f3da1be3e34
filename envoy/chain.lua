-- Dresses one attempt for the target it goes to. Runs as an upstream filter, once per attempt.
--
-- What is the same for all attempts comes as dynamic metadata from the translator, which has read the body once:
--   x-trunkline-path   path and query below the API version, e.g. /chat/completions
--   x-trunkline-model  <offset>:<length>:<kind>:<bytes> of the model in the body: j, a JSON string with its quotes,
--                      or f, the text of a form's part; <bytes> are those there, empty where no header can carry them
--   x-trunkline-usage  <offset>:<length>:<text> that asks for usage on a stream whose client did not
-- What belongs to the target comes from its endpoint metadata, in one header that the filter before this one sets:
--   x-trunkline-dress  <flags> <path prefix or -> <credential or -> <model's name there, as a JSON string>
--                      flags: u, the target understands stream_options
--
-- Headers persist into the next attempt and the body does not, so every header is written anew each time.

local NAMESPACE = "envoy.filters.http.ext_authz"
-- Where an attempt leaves word for its answer.
local NOTES = "trunkline.attempt"

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
  local flags, prefix, credential, name = headers:get("x-trunkline-dress"):match("^(%S+) (%S+) (%S+) (.*)$")
  headers:remove("x-trunkline-dress")
  headers:replace(":path", (prefix == "-" and "" or prefix) .. request["x-trunkline-path"])
  if credential == "-" then
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
    handle:streamInfo():dynamicMetadata():set(NOTES, "asked_for_usage", true)
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
local NO_CHOICES = '"choices"%s*:%s*%[%s*%]'

-- The whole events of `text` without the one that reports usage, and what follows them.
local function without_usage_event(text, delimiter)
  local kept, position = {}, 1
  while true do
    local first, last = text:find(delimiter, position, true)
    if not first then break end
    local event = text:sub(position, last)
    if not (event:find(USAGE) and event:find(NO_CHOICES)) then kept[#kept + 1] = event end
    position = last + 1
  end
  return table.concat(kept), text:sub(position)
end

-- Takes out of a stream the event that reports usage, where the gateway asked for it and not the client: it has no
-- choices, which many clients do not expect. Chunks that end with an event and hold no usage pass untouched. An
-- event in pieces is held until it is whole; `[DONE]` ends the stream and may lack its blank line, so it is not.
local function hide_usage_event(handle)
  local held, delimiter = "", nil
  for chunk in handle:bodyChunks() do
    local text = held .. chunk:getBytes(0, chunk:length())
    if not delimiter and text:find("\n", 1, true) then
      delimiter = text:find("\r\n", 1, true) and "\r\n\r\n" or "\n\n"
    end
    if held ~= "" or not delimiter or text:sub(-#delimiter) ~= delimiter or text:find(USAGE) then
      local events, tail = "", text
      if delimiter then events, tail = without_usage_event(text, delimiter) end
      local ending = tail:find("^data: %[DONE%]") and tail or ""
      chunk:setBytes(events .. ending)
      held = ending == "" and tail or ""
    end
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  if status == "401" or status == "403" then
    hide_refusal(handle, status)
  elseif (headers:get("content-type") or ""):find("^text/event%-stream") then
    local notes = handle:streamInfo():dynamicMetadata():get(NOTES)
    if notes and notes["asked_for_usage"] then
      headers:remove("content-length")
      hide_usage_event(handle)
    end
  end
end
