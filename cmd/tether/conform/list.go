package conform

import (
	"fmt"
	"io"
	"strings"
)

// CheckNames finds a name that is no scenario's.
func CheckNames(names []string) error { return checkNames(names, scenarios()) }

// WriteList prints the scenarios and what is looked at in each.
func WriteList(w io.Writer) error {
	var b strings.Builder
	list(&b, scenarios())
	_, err := io.WriteString(w, b.String())
	return err
}

func list[B any](b *strings.Builder, all []scenario[B]) {
	for _, s := range all {
		fmt.Fprintf(b, "%-20s %s\n", s.name, s.title)
		for _, r := range s.rules {
			fmt.Fprintf(b, "    %-16s %s: %s\n", r.key, r.section, r.text)
		}
	}
}
