package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Base is where the services are; health, events and documents are outside it.
const Base = "/service/devices_manage"

// Options say which service, and as whom. Only URL is required.
type Options struct {
	// URL is the service's address, http or https, such as
	// https://tether.example.com. A path in it comes before all others.
	URL string
	// Key is an API key; empty for a service that asks for none.
	Key string
	// CAFile holds the roots that the service's certificate has to lead to, as
	// PEM; empty: the system's.
	CAFile string
	// HTTP carries the requests, but follows no redirect whatever it says; nil
	// is one with good defaults. CAFile is not for it.
	HTTP *http.Client
}

// Client asks one service, with one key.
type Client struct {
	base string        // without a slash at its end
	key  func() string // so that nothing that prints a Client prints it
	http *http.Client
}

// New makes a client. It connects to nothing.
func New(o Options) (*Client, error) {
	base, err := address(o.URL)
	if err != nil {
		return nil, err
	}
	for _, r := range o.Key {
		if r <= ' ' || r > '~' {
			return nil, errors.New("the key is none: it must be printable ASCII without spaces")
		}
	}
	h, err := carrier(o)
	if err != nil {
		return nil, err
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base, func() string { return o.Key }, h}, nil
}

// String is the address of the service.
func (c *Client) String() string { return c.base }

func address(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("the service's URL cannot be read; write it as https://host or http://host:9090")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("the service's URL %q must be https://host or http://host:9090", u.Redacted())
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", errors.New("the service's URL has a user, a query or a fragment: leave them out; the key is given by itself")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// carrier is what carries the requests.
func carrier(o Options) (*http.Client, error) {
	if o.HTTP != nil {
		if o.CAFile != "" {
			return nil, errors.New("CAFile and HTTP exclude one another: set the roots in the transport of HTTP")
		}
		own := *o.HTTP
		return &own, nil
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	// A refusal of an import comes before the file is sent. A proxy that keeps
	// its word for itself gets the file after a while.
	t.ExpectContinueTimeout = 5 * time.Second
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile == "" {
		return &http.Client{Transport: t}, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", o.CAFile)
	}
	return &http.Client{Transport: t}, nil
}

// Close lets go of the connections that are kept for later calls.
func (c *Client) Close() { c.http.CloseIdleConnections() }
