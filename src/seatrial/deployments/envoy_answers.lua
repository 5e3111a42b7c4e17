-- Tells what one side was answered, so that both sides' answers can be compared. Nothing waits for it: chunks pass
-- through as they come, and the message is sent without looking at what becomes of it.
-- SIDE is 'client' or 'shadow', PER_SECOND how many requests may be copied. Headers other than the answer's type and encoding are never read.

local MOST = 1048576
local ASKED = 2048
local MARK = 'x-seatrial-copy'
local count = 0
local left, since = PER_SECOND, 0

local function microseconds(handle)
  return handle:timestampString(EnvoyTimestampResolution.MICROSECOND)
end

local function collect(handle, most)
  local parts, size = {}, 0
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if size < most then
      parts[#parts + 1] = chunk:getBytes(0, math.min(length, most - size))
    end
    size = size + length
  end
  return table.concat(parts), size
end

-- Whether one more request may be copied: a bucket that fills with PER_SECOND and holds those of one second.
local function may_copy(handle)
  local now = handle:timestamp()
  left = math.min(PER_SECOND, left + (now - since) * PER_SECOND / 1000)
  since = now
  if left < 1 then
    return false
  end
  left = left - 1
  return true
end

-- Marks a request that is copied, so that it finds its route. The client's own mark means nothing.
local function marked(handle)
  local headers = handle:headers()
  local had = headers:get(MARK)
  headers:remove(MARK)
  local chosen = may_copy(handle)
  if chosen then
    headers:add(MARK, '1')
  end
  if chosen or had then
    handle:clearRouteCache()
  end
  return chosen
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local known = handle:streamInfo():dynamicMetadata()
  local now = microseconds(handle)
  local id
  if SIDE == 'shadow' then
    id = headers:get(MARK) or ''
    -- The copy arrives as the original was: Envoy puts its own address into the chain of copies.
    local chain = headers:get('x-seatrial-copy-for')
    headers:remove('x-forwarded-for')
    if chain and chain ~= '' and chain ~= '-' then
      headers:add('x-forwarded-for', chain)
    end
    for _, name in ipairs({MARK, 'x-seatrial-copy-for', 'x-envoy-internal'}) do
      headers:remove(name)
    end
  else
    if not marked(handle) then
      return
    end
    count = count + 1
    id = now .. '.' .. count .. '.' .. math.random(1000000000)
  end
  known:set('seatrial', 'id', id)
  known:set('seatrial', 'began', now)
  local asked = headers:get(':method') .. ' ' .. headers:get(':path')
  known:set('seatrial', 'asked', asked:sub(1, ASKED))
  if SIDE == 'client' then
    local body = collect(handle, ASKED)
    handle:streamInfo():dynamicMetadata():set('seatrial', 'request', body)
  end
end

function envoy_on_response(handle)
  local known = handle:streamInfo():dynamicMetadata():get('seatrial')
  if not known or not known['id'] then
    return
  end
  local headers = handle:headers()
  local message = {
    [':method'] = 'POST', [':path'] = '/' .. SIDE, [':authority'] = 'recorder',
    ['x-id'] = known['id'], ['x-asked'] = known['asked'], ['x-began'] = known['began'],
    ['x-status'] = headers:get(':status'),
    ['x-type'] = headers:get('content-type') or '',
    ['x-encoding'] = headers:get('content-encoding') or '',
  }
  local body, size = collect(handle, MOST)
  local request = known['request'] or ''
  message['x-ended'] = microseconds(handle)
  message['x-size'] = tostring(size)
  message['x-request'] = tostring(#request)
  handle:httpCall('recorder', message, request .. body, 5000, true)
end
