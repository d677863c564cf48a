// Package transcripts holds the golden conversations of the southbound
// contract, and reads them. Their form is described in README.md, for readers
// who need no Go.
//
// They have three uses: the whole server is held to every one of them, the
// device library to those in the folder device, and the service shows them to
// people, under /docs.
//
// It owns no goroutine, and never replays anything itself: a replay needs a
// server or a device, which are other rooms' to make.
package transcripts
