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
function envoy_on_response(handle)
  local status = handle:headers():get(":status")
  if status ~= "401" and status ~= "403" then
    return
  end
  local body = handle:body(true)
  body:setBytes(
    '{"error":{"message":"The target refused the gateway\'s own credential (' .. status .. '). This is for the ' ..
    'gateway\'s operator to mend; your key is fine.","type":"server_error","param":null,' ..
    '"code":"upstream_authentication_failed"}}'
  )
  local headers = handle:headers()
  headers:replace(":status", "502")
  headers:replace("content-type", "application/json")
  headers:remove("www-authenticate")
end
