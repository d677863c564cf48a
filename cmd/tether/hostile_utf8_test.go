package main

import (
	"fmt"
	"strings"
)

// utf8Valid: every kind of character comes back as it was sent, however it is cut.
func utf8Valid() (cases []rfcCase) {
	for name, text := range map[string]string{
		"6.1 empty":                     "",
		"6.2 two bytes":                 "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!",
		"6.5 Greek":                     "\u03ba\u1f79\u03c3\u03bc\u03b5",
		"6.7 the first of two bytes":    "\u0080",
		"6.7 the first of three bytes":  "\u0800",
		"6.7 the first of four bytes":   "\U00010000",
		"6.9 the last of one byte":      "\u007f",
		"6.9 the last of two bytes":     "\u07ff",
		"6.9 the last of three bytes":   "\uffff",
		"6.9 the last of four bytes":    "\U0010ffff",
		"6.11 before the surrogates":    "\ud7ff",
		"6.11 after the surrogates":     "\ue000",
		"6.11 the replacement":          "\ufffd",
		"6.22 no character: FFFE":       "\ufffe",
		"6.22 no character: 1FFFE":      "\U0001fffe",
		"6.22 no character: 10FFFE":     "\U0010fffe",
		"6.23 the byte order mark":      "\ufeff",
		"6.23 a family of four":         "👩‍👩‍👧‍👦",
		"6.23 marks upon marks":         "a" + strings.Repeat("\u0301", 50),
		"6.23 right to left, and ruled": "\u202e\u0627\u200f",
	} {
		id := `"` + text + `"`
		message := pingOf(id)
		cases = append(cases,
			rfcCase{name, one(whole(message)), []string{echo(id), "alive"}},
			rfcCase{name + ", in octets", chop(whole(message), 1), []string{echo(id), "alive"}},
			rfcCase{name + ", in fragments of a byte or two", one(fragments(message, min(64, len(message)))), []string{echo(id), "alive"}})
	}
	return cases
}

// utf8Invalid: what is none is closed with 1007, also where only the beginning
// of the message is there that makes it so (fail fast).
func utf8Invalid() (cases []rfcCase) {
	for name, text := range map[string]string{
		"6.3 in the middle of text":     "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
		"6.4 beyond the last":           "\xf4\x90\x80\x80",
		"6.6 half of two bytes":         "\xce",
		"6.6 two of three bytes":        "\xe1\xbd",
		"6.6 three of four bytes":       "\xf0\x9f\x98",
		"6.8 five bytes":                "\xf8\x88\x80\x80\x80",
		"6.8 six bytes":                 "\xfc\x84\x80\x80\x80\x80",
		"6.10 the last of five bytes":   "\xfb\xbf\xbf\xbf\xbf",
		"6.12 a continuation":           "\x80",
		"6.12 the last continuation":    "\xbf",
		"6.13 all continuations":        "\x80\x81\xbe\xbf",
		"6.14 first bytes of two":       "\xc2 \xc3 ",
		"6.14 first bytes of three":     "\xe0 \xe1 ",
		"6.14 first bytes of four":      "\xf0 \xf4 ",
		"6.15 the last one missing":     "\xe2\x82\"",
		"6.16 many that are cut":        "\xc2\xe0\xa0\xf0\x90\x80",
		"6.17 FE":                       "\xfe",
		"6.17 FF":                       "\xff",
		"6.18 / in two bytes":           "\xc0\xaf",
		"6.18 / in three bytes":         "\xe0\x80\xaf",
		"6.18 / in four bytes":          "\xf0\x80\x80\xaf",
		"6.19 too long, two bytes":      "\xc1\xbf",
		"6.19 too long, three bytes":    "\xe0\x9f\xbf",
		"6.19 too long, four bytes":     "\xf0\x8f\xbf\xbf",
		"6.20 NUL in two bytes":         "\xc0\x80",
		"6.21 the first surrogate":      "\xed\xa0\x80",
		"6.21 the last surrogate":       "\xed\xbf\xbf",
		"6.21 a pair of them":           "\xed\xa0\xbd\xed\xb8\x80",
		"6.21 a pair, the other way on": "\xed\xb8\x80\xed\xa0\xbd",
	} {
		message := pingOf(`"` + text + `"`)
		seen := []string{"close 1007"}
		cases = append(cases,
			rfcCase{name, one(whole(message)), seen},
			rfcCase{name + ", in octets", chop(whole(message), 1), seen},
			rfcCase{name + ", in fragments", one(fragments(message, 40)), seen},
			rfcCase{name + ", and no more", one(frame(opText, message)), seen})
	}
	return append(cases, rfcCase{"6.4 half a frame", [][]byte{whole(pingOf("\"\xff" + strings.Repeat("x", 500)))[:200]}, []string{"close 1007"}})
}

// closes: both sides close, in every way that there is.
func closes() []rfcCase {
	bye := frame(bitFin|opClose, closing(1000, ""))
	text := whole(pingOf("1"))
	reason := strings.Repeat("r", 123)
	return []rfcCase{
		{"7.1.1 a message, then close", one(text, bye), []string{"maybe ok 1", "close 1000"}},
		{"7.1.2 close twice", one(bye, bye), []string{"close 1000"}},
		{"7.1.3 ping after close", one(bye, frame(bitFin|opPing, "late")), []string{"close 1000"}},
		{"7.1.4 text after close", one(bye, text), []string{"close 1000"}},
		{"7.1.4 what is none after close", one(bye, []byte("\xff\xff\xff")), []string{"close 1000"}},
		{"7.1.5 close, then the rest of a message", one(frame(opText, "x"), bye, frame(bitFin|opMore, "x")), []string{"close 1000"}},
		{"7.1.6 64 KiB, then close and ping", one(whole(pingSized(65536)), bye, frame(bitFin|opPing, "late")),
			[]string{"maybe " + echo(`"`+strings.Repeat("x", 65536-len(pingOf(`""`)))+`"`), "close 1000"}},
		{"7.3.1 no payload", one(frame(bitFin|opClose, "")), []string{"close"}},
		{"7.3.2 a payload of one byte", one(frame(bitFin|opClose, "\x03")), []string{"close 1002"}},
		{"7.3.3 a code alone", one(bye), []string{"close 1000"}},
		{"7.3.4 a reason", one(frame(bitFin|opClose, closing(1000, "Hello World!"))), []string{"close 1000"}},
		{"7.3.5 a reason of 123 bytes", one(frame(bitFin|opClose, closing(1000, reason))), []string{"close 1000"}},
		{"7.3.6 a reason of 124 bytes", one(frame(bitFin|opClose, closing(1000, reason+"r"))), []string{"close 1002"}},
		{"7.3.7 in octets", chop(frame(bitFin|opClose, closing(1000, reason)), 1), []string{"close 1000"}},
		{"7.3.8 in fragments", one(frame(opClose, closing(1000, "")), frame(bitFin|opMore, "")), []string{"close 1002"}},
		{"7.5.1 a reason that is no UTF-8", one(frame(bitFin|opClose, closing(1000, "\xce\xba\xed\xa0\x80edited"))), []string{"close 1002"}},
		{"7.5.2 a reason cut in a character", one(frame(bitFin|opClose, closing(1000, "\xce"))), []string{"close 1002"}},
	}
}

// closeCodes: those that may be sent come back, others are a broken frame.
func closeCodes() (cases []rfcCase) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4409, 4999} {
		cases = append(cases, rfcCase{fmt.Sprint("7.7 code ", code), one(frame(bitFin|opClose, closing(code, ""))), []string{fmt.Sprint("close ", code)}})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999} {
		cases = append(cases, rfcCase{fmt.Sprint("7.9 code ", code), one(frame(bitFin|opClose, closing(code, "bad"))), []string{"close 1002"}})
	}
	for _, code := range []int{5000, 65535} {
		cases = append(cases, rfcCase{fmt.Sprint("7.13 code ", code), one(frame(bitFin|opClose, closing(code, "big"))), []string{"close 1002"}})
	}
	return cases
}
