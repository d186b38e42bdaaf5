# A server that knows nothing of multi-node.
sub { my $body = "starlet $$"; [200, ['content-length' => length $body], [$body]] }
