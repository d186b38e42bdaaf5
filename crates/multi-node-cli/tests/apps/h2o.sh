# `h2o.sh PORT`: becomes an h2o whose answers end with its pid, which is this shell's.
exec h2o -c /dev/stdin <<END
listen: {host: 127.0.0.1, port: $1}
num-threads: 1
hosts: {default: {paths: {/: {mruby.handler: 'Proc.new {|env| [200, {}, ["h2o $$"]] }'}}}}
END
