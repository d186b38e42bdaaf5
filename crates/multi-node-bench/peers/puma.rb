# Puma in cluster mode, made for phased restarts: workers load the application by themselves.
workers @NODES@
threads 32, 32
bind "tcp://127.0.0.1:@PORT@"
rackup "rack.ru"
persistent_timeout 75
