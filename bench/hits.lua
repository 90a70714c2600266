-- Requests for wrk: the same for both servers. Twenty thousand visitors who agreed, five hundred pages with
-- addresses of at least sixty characters, real-looking agents and referrers, and an id for every event.
local agents = {
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
  "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
}
local referrers = {
  "", "", "https%3A%2F%2Fwww.google.com%2F", "https%3A%2F%2Fwww.facebook.com%2F", "https%3A%2F%2Fduckduckgo.com%2F",
  "https%3A%2F%2Fnews.example%2Farticle%2F17",
}
local campaigns = { "", "", "", "%3Futm_source%3Dnewsletter%26utm_medium%3Demail%26utm_campaign%3Dautumn" }
local key = os.getenv("CAIRN_BENCH_KEY")
local host = os.getenv("CAIRN_BENCH_HOST")
-- Another one for every load: ids that come again would be recognised as repetitions.
local seed = tonumber(os.getenv("CAIRN_BENCH_SEED"))
local prepared = {}
local count = 4096
local next_request = 0
local thread_number = 0

function setup(thread)
  thread:set("number", thread_number)
  thread_number = thread_number + 1
end

function init(args)
  math.randomseed(seed * 64 + number)
  for index = 1, count do
    local visitor = math.random(20000)
    local page = math.random(500)
    local url = string.format("https%%3A%%2F%%2F%s%%2Fcatalogue%%2Fcategory-%02d%%2Farticle-number-%05d-in-the-list%s",
      host, page % 20, page, campaigns[math.random(#campaigns)])
    local path = string.format("/p.gif?key=%s&url=%s&referrer=%s&title=Article%%20%d&screen=1440x900&language=de-DE&event_id=",
      key, url, referrers[math.random(#referrers)], page)
    local headers = string.format(
      " HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: image/avif,image/webp,*/*;q=0.8\r\n" ..
      "Accept-Language: de-DE,de;q=0.9\r\nReferer: https://%s/\r\nSec-Fetch-Dest: image\r\nSec-Fetch-Mode: no-cors\r\n" ..
      "Sec-Fetch-Site: same-site\r\nCookie: cairn_id=%016x%016x\r\n\r\n",
      host, agents[visitor % #agents + 1], host, visitor * 2654435761, visitor * 40503 + 7)
    prepared[index] = { "GET " .. path, headers }
  end
end

local format, random = string.format, math.random
function request()
  next_request = next_request + 1
  local parts = prepared[next_request % count + 1]
  return parts[1] .. format("%08x-%04x-4%03x-8%03x-%04x%08x", random(0, 0x7fffffff), random(0, 0xffff), random(0, 0xfff),
    random(0, 0xfff), random(0, 0xffff), next_request * 16 + number) .. parts[2]
end
