-- ARGV: now, the topic's name. Make what a topic needs; nothing happens if it is there.
if call('EXISTS', META) == 0 then call('HSET', META, 'topic', ARGV[2], 'version', 1, 'last', 0, 'z', 0) end
if call('EXISTS', STREAM) == 0 then call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM') end
return 1
