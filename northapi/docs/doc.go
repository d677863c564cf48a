// Package docs is what the service tells about itself: the OpenAPI and
// OpenRPC documents as they are, and the same for people, as pages that need nothing but a browser.
//
//	/docs                  the contents
//	/docs/api              the northbound contract
//	/docs/device           the southbound contract
//	/openapi.json          the northbound one for programs
//	/openrpc/device.json   its direction from device to cloud
//	/openrpc/cloud.json    its direction from cloud to device
//
// A further page is a row of the table in docs.go, a template, and the
// function that collects what it shows.
//
// Pages are made of the embedded documents and transcripts alone, so that they
// cannot say anything else: contract.go reads the OpenRPC documents, api.go
// the OpenAPI document, members.go makes tables of their schemas, talk.go and diagram.go show transcripts as
// conversations and as drawings. They have no script, load nothing, and are
// whole when they are saved: the style is inside, and the policy that they are
// served with allows that style alone.
//
// Nothing of the installation is in any of them: everybody gets the same bytes.
// They are made once, when they are first asked for. The package starts no
// goroutine.
package docs
