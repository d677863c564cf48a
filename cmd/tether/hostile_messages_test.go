package main

import (
	"fmt"
	"strings"

	"github.com/edgetether/tether/schema"
)

// answers sends a message and sees its answers; then the connection must be as
// good as before.
func answers(message string, want ...string) func(*bare) {
	return func(c *bare) {
		c.text(message)
		c.sees(want...)
		c.alive()
	}
}

// nested is arrays, n deep, within params.
func nested(n int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"ping","params":%s%s}`, strings.Repeat("[", n), strings.Repeat("]", n))
}

// report is a report with a member of CPU_info.
func report(member string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"upload_status_info","params":{"CPU_info":{` + member + `},"Memory_info":{},"Disk_info":{}}}`
}

// messageAttacks are of messages that are whole, and no good.
var messageAttacks = []attack{
	{"F11 depth 32", true, answers(nested(31), "ok 1"), soon},
	{"F11 depth 33", true, answers(nested(32), "-32600 1"), soon},
	{"F11 depth 10,000", true, answers(nested(10_000), "-32600 1"), soon},
	{"F11 depth 32,000", true, answers(nested(32_000), "-32600 1|-32600 null"), soon},
	{"F11 depth 10,000,000", true, breaks(1009, claim(20_000_000), []byte(strings.Repeat("[", 100_000))), 0},
	{"F11 20 in a row", true, func(c *bare) {
		for range schema.MaxMalformed - 1 {
			c.text("{")
		}
		c.sees(times(schema.MaxMalformed-1, "-32700 null")...)
		c.alive() // and the count begins anew
		for range schema.MaxMalformed {
			c.text(nested(40))
		}
		c.sees(times(schema.MaxMalformed, "-32600 1")...)
		c.ends(1008)
	}, soon},
	{"F12 id twice", true, answers(`{"jsonrpc":"2.0","id":1,"method":"ping","id":2}`, "-32600 null"), soon},
	{"F12 method twice", true, answers(`{"jsonrpc":"2.0","id":1,"method":"ping","method":"login"}`, "-32600 null"), soon},
	{"F12 device_id twice", true, answers(`{"jsonrpc":"2.0","id":1,"method":"upload_status_info","params":{"device_id":"1","device_id":"2","CPU_info":{},"Memory_info":{},"Disk_info":{}}}`, "-32600 1"), soon},
	{"F12 METHOD", true, answers(`{"jsonrpc":"2.0","id":1,"METHOD":"ping"}`, "-32600 1"), soon},
	{"F13 1e999999999", true, answers(report(`"user_cpu_time":1e999999999`), "-32602 1"), soon},
	{"F13 an integer of 10 KB", true, answers(report(`"user_cpu_time":`+strings.Repeat("9", 10_000)), "-32600 1"), soon},
	{"F13 an id of 33 characters", true, answers(pingOf(strings.Repeat("9", 33)), "-32600 "+strings.Repeat("9", 33)), soon},
	{"F13 an id of -0", true, answers(pingOf("-0"), "ok -0"), soon},
	{"F13 an id of 2^53+1", true, answers(pingOf("9007199254740993"), "ok 9007199254740993"), soon},
	{"F13 an id of 1.0", true, answers(pingOf("1.0"), "-32600 null"), soon},
	{"F13 NaN", true, answers(report(`"user_cpu_time":NaN`), "-32700 null"), soon},
	{"F14 a batch of 64", true, answers(string(pings(10, 64)), pongs(10, 64)), soon},
	{"F14 a batch of 65", true, answers(string(pings(10, 65)), "-32600 null"), soon},
	{"F14 a batch of 10,000", true, answers("["+strings.Repeat("1,", 9999)+"1]", "-32600 null"), soon},
	{"F14 an empty batch", true, answers("[]", "-32600 null"), soon},
	{"F14 a batch of responses", true, answers(`[{"jsonrpc":"2.0","id":1,"result":1},{"jsonrpc":"2.0","id":2,"result":1}]`, "[-32600 null -32600 null]"), soon},
	{"F14 batches in a batch", true, answers("[[[[]]],[]]", "[-32600 null -32600 null]"), soon},
	{"F14 login in a batch", false, func(c *bare) {
		c.text("[" + c.device.login() + "]")
		c.sees(`[-32600 "login"]`)
	}, soon},
	{"T15 a batch of the longest answer", false, func(c *bare) {
		c.text("[" + strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"rpc.discover"},`, 37) + `{"jsonrpc":"2.0","id":2,"method":"rpc.discover"}]`)
		c.sees("[" + strings.Repeat("-32600 1 ", 37) + "-32600 2]")
	}, soon},
	{"F15 responses that nobody asked for", true, func(c *bare) {
		for i := range schema.MaxMalformed - 1 {
			c.text(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"status":"success"}}`, 1_000_000+i))
		}
		c.alive()
		for i := range schema.MaxMalformed {
			c.text(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":1,"error":{"code":1,"message":""}}`, i))
		}
		c.ends(1008)
	}, soon},
	{"F16 id null", true, answers(pingOf("null"), "-32600 null"), soon},
	{"F16 notifications", true, answers(`{"jsonrpc":"2.0","method":"nonsense","params":[1]}`), soon},
	{"F16 an id that is in flight", true, answers(batchOfResults, "[-32602 1 -32600 1]|[-32602 1 -32602 1]"), 0},
	{"F17 an unknown method", true, answers(`{"jsonrpc":"2.0","id":1,"method":"shutdown"}`, "-32601 1"), soon},
	{"F17 params of another type", true, answers(`{"jsonrpc":"2.0","id":1,"method":"upload_status_info","params":[1]}`, "-32602 1"), soon},
	{"F17 a member of another type", true, answers(report(`"user_cpu_time":"x"`), "-32602 1"), soon},
	{"F17 members that nobody knows", true, answers(report(`"user_gpu_time":{"x":[1]}`), "ok 1"), soon},
	{"F18 a second login", true, func(c *bare) {
		c.text(c.device.login())
		c.sees(`-32003 "login"`)
		c.text(`{"jsonrpc":"2.0","id":2,"method":"login","params":{"device_id":"1","password":"wrong-one"}}`)
		c.sees("-32003 2")
		c.alive()
	}, soon},
	{"F18 no login first", false, func(c *bare) {
		c.text(reportMessage)
		c.sees("-32002 7")
		c.ends(4400)
	}, soon},
}

// batchOfResults hands one result in twice, with one id.
const batchOfResults = `[{"jsonrpc":"2.0","id":1,"method":"upload_instruction_result","params":{"order_id":"1","status":"fail","message":""}},` +
	`{"jsonrpc":"2.0","id":1,"method":"upload_instruction_result","params":{"order_id":"1","status":"fail","message":""}}]`

// pongs is what answers pings.
func pongs(from, batch int) string {
	short := make([]string, batch)
	for i := range short {
		short[i] = fmt.Sprint("ok ", from+i)
	}
	return fmt.Sprint(short)
}
