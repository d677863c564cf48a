package northapi

import (
	"context"
	"net/http"

	"github.com/edgetether/tether/northapi/docs"
)

// published is a document, which is answered as it is.
type published struct{ file *docs.File }

func (p published) serve(w http.ResponseWriter, r *http.Request) { p.file.ServeHTTP(w, r) }

// document is the endpoint of the one at path.
func document(path string) endpoint {
	return query(func(context.Context, caller, none) (published, error) {
		f, err := docs.Open(path)
		return published{f}, err
	})
}
