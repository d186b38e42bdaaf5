# The application of Ruby's servers.
run lambda { |env|
  sleep(env['PATH_INFO'].delete_prefix('/sleep/').to_i / 1000.0) if env['PATH_INFO'].start_with?('/sleep/')
  [200, { 'content-type' => 'text/plain' }, ["@RELEASE@\n"]]
}
