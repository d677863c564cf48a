package session

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/edgetether/tether/schema"
)

// TestMethodsAreTheDocument: the table has the methods of the OpenRPC document
// of devices, and no other.
func TestMethodsAreTheDocument(t *testing.T) {
	var document struct{ Methods []struct{ Name string } }
	if err := json.Unmarshal(schema.OpenRPCDevice, &document); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range document.Methods {
		want = append(want, m.Name)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(methods)); !slices.Equal(got, want) {
		t.Errorf("the table has %v, the document %v", got, want)
	}
}
