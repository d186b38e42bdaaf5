# A Rack app; a Rails one is `run Rails.application`.
run ->(_env) { [200, { "content-type" => "text/plain" }, ["hello from #{$$}"]] }
