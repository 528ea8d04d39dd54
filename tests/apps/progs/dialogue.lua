-- Lines to an echo server one by one, then many at once, by select: dialogue.lua PORT
local socket = require("socket")
local c = assert(socket.connect("127.0.0.1", tonumber(arg[1])))

for i = 1, 3000 do
	local line = string.rep("x", i % 200) .. i
	assert(c:send(line .. "\n"))
	assert(c:receive("*l") == line)
end

local lines = {}
for i = 1, 30000 do
	lines[i] = "line " .. i .. string.rep("y", i % 80)
end
local all = table.concat(lines, "\n") .. "\n"
local sent, count, got = 0, 0, {}
c:settimeout(0)
while count < #all do
	local readable, writable = socket.select({c}, sent < #all and {c} or nil, 20)
	if #readable + #writable == 0 then
		error("stalled: " .. sent .. " sent, " .. count .. " received")
	end
	if #writable > 0 then
		local last, _, partly = c:send(all, sent + 1)
		sent = last or partly
	end
	if #readable > 0 then
		local whole, _, partly = c:receive(8192)
		got[#got + 1] = whole or partly
		count = count + #got[#got]
	end
end
assert(table.concat(got) == all)

c:settimeout(20)
c:shutdown("send")
local _, why = c:receive(1)
assert(why == "closed")
print("good")
