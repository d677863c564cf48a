package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPick: of more than one batch, who waits goes first, behind what was said
// of the same device before; everything else keeps its place.
func TestPick(t *testing.T) {
	line := func(device int) *op { return &op{log: fmt.Sprint(device), join: func(*run, *result) {}} }
	change := func(device int) *op { return &op{touches: []string{fmt.Sprint(device)}, join: func(*run, *result) {}} }
	waits := func(o *op) *op { o.done = func(error) {}; return o }
	lone := func() *op { return waits(&op{apply: func(*tx) error { return nil }}) }
	waiting := func(o *op) bool { return o.done != nil }
	var all []*op
	for i := range 3 * maxBatch {
		all = append(all, line(i))
	}
	for i := range maxBatch / 4 {
		all = append(all, waits(change(2*maxBatch+i)), line(2*maxBatch+i))
	}

	batch, rest := pick(all)
	equal(t, "batch", len(batch), maxBatch)
	if slices.ContainsFunc(rest, waiting) {
		t.Error("somebody is left waiting")
	}
	inOrder(t, all, batch, rest)

	all[100] = lone()
	batch, rest = pick(all)
	if slices.ContainsFunc(rest, waiting) {
		t.Error("somebody is left waiting for a change by itself")
	}
	inOrder(t, all, batch, rest)

	batch, rest = pick(all[:maxBatch])
	equal(t, "one batch", len(batch), maxBatch)
	equal(t, "rest of it", len(rest), 0)

	for i := range all { // one device's alone
		all[i] = line(1)
	}
	all[len(all)-1] = waits(change(1))
	batch, rest = pick(all)
	equal(t, "batch of one device", len(batch), maxBatch)
	inOrder(t, all, batch, rest)

	for i := range all { // more wait than there is room for
		if all[i] = waits(change(i)); i < maxBatch {
			all[i] = line(i)
		}
	}
	batch, rest = pick(all)
	equal(t, "batch of those who wait", len(batch), maxBatch)
	if batch[0] != all[0] || slices.IndexFunc(batch, waiting) != maxAside {
		t.Error("what waits longest has no part of it")
	}
	inOrder(t, all, batch, rest)

	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		for i := range all {
			switch o := change(r.IntN(2000)); r.IntN(20) {
			case 0:
				all[i] = lone()
			case 1, 2, 3:
				all[i] = waits(o)
			case 4, 5:
				all[i] = o
			default:
				all[i] = line(r.IntN(2000))
			}
		}
		ops := all[r.IntN(len(all)):]
		for len(ops) > 0 {
			batch, rest = pick(ops)
			if len(batch) > maxBatch || len(batch) < min(maxBatch, len(ops)) {
				t.Fatalf("seed %d: a batch of %d of %d", seed, len(batch), len(ops))
			}
			inOrder(t, ops, batch, rest)
			ops = rest
		}
	}
}

// inOrder looks for what has overtaken that it must not.
func inOrder(t *testing.T, all, batch, rest []*op) {
	t.Helper()
	place := map[*op]int{}
	for i, o := range all {
		place[o] = i
	}
	equal(t, "in all", len(batch)+len(rest), len(all))
	for _, ops := range [][]*op{batch, rest} {
		if !slices.IsSortedFunc(ops, func(a, b *op) int { return place[a] - place[b] }) {
			t.Error("the order was changed")
		}
	}
	left := map[string]int{} // the first op that was left of each device
	change := len(all)       // and of any
	for _, o := range slices.Backward(rest) {
		for _, id := range append(slices.Clone(o.touches), o.log) {
			left[id] = place[o]
		}
		if o.log == "" {
			change = place[o]
		}
	}
	for _, o := range batch {
		for _, id := range o.touches {
			if at, ok := left[id]; ok && at < place[o] {
				t.Fatalf("a change of device %s has overtaken another", id)
			}
		}
		if at, ok := left[o.log]; o.log != "" && ok && at < place[o] {
			t.Fatalf("a line of device %s has overtaken another", o.log)
		}
		if o.join == nil && change < place[o] {
			t.Fatal("a change that may touch anything has overtaken another")
		}
		if rest := slices.IndexFunc(rest, func(r *op) bool { return r.join == nil && place[r] < place[o] }); rest >= 0 && o.log == "" {
			t.Fatal("a change has overtaken one that may touch anything")
		}
	}
}
