#!/usr/bin/env bash
# A device in sixty lines of bash, to show the wire: login, pings, reports, one
# order. For the field it lacks a journal, the token and TLS: take a library.
#
#   TETHER_HOST=127.0.0.1 TETHER_PORT=9090 TETHER_DEVICE_ID=1860… TETHER_PASSWORD=tp_… ./device.sh
set -u
export LC_ALL=C # a length is in bytes

# frame OPCODE TEXT sends one, with a mask of zeros, which changes nothing.
frame() {
	local n=${#2} head
	printf -v head '\\x%02x\\x%02x' $((0x80 | $1)) $((0x80 | (n < 126 ? n : 126)))
	((n < 126)) || printf -v head '%s\\x%02x\\x%02x' "$head" $((n >> 8)) $((n & 255))
	printf "$head"'\0\0\0\0%s' "$2" >&3
}

# bytes N prints the next ones as numbers.
bytes() { head -c "$1" <&3 | od -An -v -w"$1" -tu1; }

# receive waits a second for a frame; it sets opcode and text, or fails.
receive() {
	local first n more
	IFS= read -r -d '' -N 1 -t 1 first <&3 || { (($? > 128)) && return 1; echo "the connection is gone" >&2; exit 1; }
	opcode=$(($(printf %d "'$first") & 15))
	n=$(($(bytes 1)))
	((n < 126)) || { more=($(bytes 2)) && n=$((more[0] << 8 | more[1])); }
	text=""
	((n == 0)) || text=$(head -c "$n" <&3 | tr -d '\0')
}

call() { frame 1 "{\"jsonrpc\":\"2.0\",\"id\":$((++id)),\"method\":\"$1\"${2:+,\"params\":$2}}" && ((++unanswered)); }

report() {
	local total free
	total=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo) free=$(awk '/^MemFree/ {print int($2 / 1024)}' /proc/meminfo)
	call upload_status_info "{\"CPU_info\":{},\"Memory_info\":{\"total_memory_mb\":$total,\"free_memory_mb\":$free},\"Disk_info\":{}}"
}

carry_out() {
	local result='{"status":"fail","message":"order not in config"}'
	[[ $text =~ \"id\":([0-9]+) ]] && local number=${BASH_REMATCH[1]}
	[[ $text =~ \"order_type\":\"blink\" ]] && echo "*blink*" && result='{"status":"success","message":"done","data":{"blinked":1}}'
	frame 1 "{\"jsonrpc\":\"2.0\",\"id\":$number,\"result\":$result}"
}

exec 3<>"/dev/tcp/$TETHER_HOST/$TETHER_PORT" || exit 1
printf '%s\r\n' "GET /ws HTTP/1.1" "Host: $TETHER_HOST:$TETHER_PORT" "Connection: Upgrade" "Upgrade: websocket" \
	"Sec-WebSocket-Version: 13" "Sec-WebSocket-Key: dGV0aGVyLWRldmljZS5zaA==" "" >&3
while IFS= read -r line <&3 && [[ $line != $'\r' ]]; do echo "< $line"; done

id=0 unanswered=0 ping=5 report=0
call login "{\"device_id\":\"$TETHER_DEVICE_ID\",\"password\":\"$TETHER_PASSWORD\",\"boot_id\":\"$$-$RANDOM\"}"
until receive; do :; done
[[ $text == *'"result"'* ]] && unanswered=0 && SECONDS=0 || { echo "login: $text" >&2 && exit 1; }
while ((unanswered < 4)); do
	if ((SECONDS >= report)); then report && report=$((SECONDS + 15)) ping=$((SECONDS + 5)); fi
	if ((SECONDS >= ping)); then call ping && ping=$((SECONDS + 5)); fi
	receive || continue
	case $opcode:$text in
	1:*'"method":"give_order"'*) carry_out ;;
	1:*'"result"'*) unanswered=0 ;;
	8:*) echo "closed: ${text:2}" && exit ;;
	9:*) frame 10 "$text" ;;
	esac
done
