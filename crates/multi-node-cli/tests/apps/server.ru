# A server that knows nothing of multi-node.
run ->(_env) { [200, {}, ["puma #{$$}"]] }
