package rpc

import (
	"testing"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/schema"
)

func BenchmarkZDecode(b *testing.B) {
	m := judge([]byte(benchReport))
	b.ReportAllocs()
	for b.Loop() {
		var s schema.StatusInfo
		if err := decode(m.params, &s, "params"); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkZDecodeDup(b *testing.B) {
	m := judge([]byte(benchReport))
	o := json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	b.ReportAllocs()
	for b.Loop() {
		var s schema.StatusInfo
		if err := json.Unmarshal(m.params, &s, o); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkZEncode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		encodeResult([]byte("12345"), struct{}{})
	}
}
func BenchmarkZEncodePong(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		encodeResult([]byte("12345"), "pong")
	}
}
func BenchmarkZExtent(b *testing.B) {
	for b.Loop() {
		extent([]byte(benchReport))
	}
}

func BenchmarkZAnyReport(b *testing.B) {
	raw := []byte(benchReport)
	for b.Loop() {
		judgeAny(raw)
	}
}
func BenchmarkZAnyPing(b *testing.B) {
	raw := []byte(benchPing)
	for b.Loop() {
		judgeAny(raw)
	}
}
