package docs

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// File is one thing that is served.
type File struct {
	kind string // its Content-Type
	body []byte
	etag string
	csp  string // Content-Security-Policy; empty: it is not for showing
}

// entry is a row of the table of what is served.
type entry struct {
	path    string
	title   string // in the contents; empty: not there
	about   string
	text    []byte              // as it is, or
	page    string              // a template, and
	collect func() (any, error) // what it shows
}

func entries() []entry {
	return []entry{
		{path: "/docs", page: "index.tmpl", collect: contents},
		{
			path: "/docs/api", page: "api.tmpl", collect: apiPage,
			title: "Business services", about: "The northbound contract: REST with JSON. For who writes a service, a script or a console.",
		},
		{
			path: "/openapi.json", text: schema.OpenAPI,
			title: "OpenAPI", about: "The same for programs: OpenAPI 3.1.",
		},
		{
			path: "/docs/device", page: "device.tmpl", collect: devicePage,
			title: "Devices", about: "The southbound contract: JSON-RPC 2.0 over one WebSocket for each device. For who writes a client.",
		},
		{
			path: "/openrpc/device.json", text: schema.OpenRPCDevice,
			title: "OpenRPC, device to cloud", about: "The same for programs: what a device may ask of the service. rpc.discover answers it too.",
		},
		{
			path: "/openrpc/cloud.json", text: schema.OpenRPCCloud,
			title: "OpenRPC, cloud to device", about: "What the service may ask of a device.",
		},
	}
}

// Paths lists what is served.
func Paths() []string {
	var all []string
	for _, e := range entries() {
		all = append(all, e.path)
	}
	return all
}

// Open finds the file at one of the paths.
func Open(path string) (*File, error) {
	all, err := files()
	if err != nil {
		return nil, err
	}
	f, ok := all[path]
	if !ok {
		return nil, fmt.Errorf("docs: no file at %s", path)
	}
	return f, nil
}

// ServeHTTP answers GET and HEAD. Who has the present bytes is told so.
func (f *File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache") // to be kept, and asked about: another version may say something else
	h.Set("X-Content-Type-Options", "nosniff")
	if f.csp != "" {
		h.Set("Content-Security-Policy", f.csp)
		h.Set("Referrer-Policy", "no-referrer")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// files are made once.
var files = sync.OnceValues(func() (map[string]*File, error) {
	all := map[string]*File{}
	for _, e := range entries() {
		f, err := e.file()
		if err != nil {
			return nil, fmt.Errorf("docs: %s: %w", e.path, err)
		}
		all[e.path] = f
	}
	return all, nil
})

func (e entry) file() (*File, error) {
	f := &File{kind: "application/json", body: e.text}
	if e.page != "" {
		if err := f.render(e); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(f.body)
	f.etag = `"` + hex.EncodeToString(sum[:16]) + `"`
	return f, nil
}

//go:embed *.tmpl style.css
var sources embed.FS

func (f *File) render(e entry) error {
	style, err := sources.ReadFile("style.css")
	if err != nil {
		return err
	}
	pages, err := template.New("").Funcs(template.FuncMap{"prose": prose, "paragraphs": paragraphs}).ParseFS(sources, "*.tmpl")
	if err != nil {
		return err
	}
	data, err := e.collect()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, e.page, page{Style: template.CSS(style), Data: data}); err != nil {
		return err
	}
	f.kind, f.body, f.csp = "text/html; charset=utf-8", b.Bytes(), policy(style)
	return nil
}

// page is what every template gets.
type page struct {
	Style template.CSS
	Data  any
}

// policy allows nothing but the one style.
func policy(style []byte) string {
	sum := sha256.Sum256(style)
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// prose shows what stands between backquotes as code.
func prose(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
		} else {
			b.WriteString(template.HTMLEscapeString(part))
		}
	}
	return template.HTML(b.String()) // every part of it is escaped
}

// paragraphs are parted by empty lines.
func paragraphs(text string) []string { return strings.Split(text, "\n\n") }

// link is a row of the contents.
type link struct{ Path, Title, About string }

func contents() (any, error) {
	var all []link
	for _, e := range entries() {
		if e.title != "" {
			all = append(all, link{e.path, e.title, e.about})
		}
	}
	return all, nil
}
