package conform

import (
	"fmt"
	"io"
	"strings"
)

// CheckNames finds a name that is no scenario's, of a client or of a server.
func CheckNames(names []string, server bool) error {
	if server {
		return checkNames(names, serverScenarios())
	}
	return checkNames(names, scenarios())
}

// WriteList prints the scenarios of a client, or of a server, and what is
// looked at in each.
func WriteList(w io.Writer, server bool) error {
	var b strings.Builder
	if server {
		list(&b, serverScenarios())
	} else {
		list(&b, scenarios())
	}
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
