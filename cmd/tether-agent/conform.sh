#!/bin/sh
# tether-agent as the client of tether conform:
#
#   tether conform --time-scale 0.1 --exec 'sh cmd/tether-agent/conform.sh bin/tether-agent'
#
# The kit says in the environment where to connect and as whom; the password
# and the time scale are read by the agent itself.
set -eu
if [ -n "$TETHER_DEVICE_ID" ]; then
	who="device_id: \"$TETHER_DEVICE_ID\""
else
	who=$(printf 'sn: "%s"\nmodel: "%s"' "$TETHER_DEVICE_SN" "$TETHER_DEVICE_MODEL")
fi
cat > "$TETHER_STATE_DIR/agent.yaml" <<YAML
server: $TETHER_URL
$who
state_dir: $TETHER_STATE_DIR
orders:
  conform_echo:
    command: [/bin/echo, "\${text}"]
    args: {text: {type: string}}
  conform_sleep:
    command: [/bin/sh, -c, 'exec sleep "\$(printf %d.%03d \$((\$0 / 1000)) \$((\$0 % 1000)))"', "\${ms}"]
    args: {ms: {type: int, min: 0, max: 60000}}
    timeout: 60s
YAML
exec "$1" --config "$TETHER_STATE_DIR/agent.yaml"
