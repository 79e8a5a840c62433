-- wrk -s post.lua URL -- [TYPE FILE]
-- POSTs the file's bytes with that content type. Each run of ten # in it is replaced by a number of ten digits that
-- differs between requests, so that no event is a duplicate. Without TYPE and FILE it POSTs 200 bytes.
wrk.method = "POST"
local parts, count = nil, 0

function init(args)
    wrk.headers["Content-Type"] = args[1] or "application/octet-stream"
    if not args[2] then
        wrk.body = string.rep("x", 200)
        return
    end
    local text, at = io.open(args[2], "rb"):read("*a"), 1
    parts = {}
    for first, behind in text:gmatch("()##########()") do
        parts[#parts + 1] = text:sub(at, first - 1)
        at = behind
    end
    parts[#parts + 1] = text:sub(at)
    request = function()
        count = count + 1
        return wrk.format(nil, nil, nil, table.concat(parts, string.format("%010d", count)))
    end
end
