package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxStatements is how many texts the readers keep. There are a few dozens; those
// that vary with a scope are kept as long as there is room.
const maxStatements = 256

// statements are what the readers of an engine in this process have prepared: it
// would parse each text again and again. Servers remember texts by themselves.
// The zero value is ready.
type statements struct {
	mu     sync.Mutex
	byText map[string]*sql.Stmt
}

// of is the statement of a text; nil if there is no room for it.
func (s *statements) of(ctx context.Context, db *sql.DB, text string) (*sql.Stmt, error) {
	st, room := s.kept(text)
	if st != nil || !room {
		return st, nil
	}
	st, err := db.PrepareContext(ctx, unnamed(text))
	if err != nil {
		return nil, err
	}
	return s.keep(text, st), nil
}

func (s *statements) kept(text string) (st *sql.Stmt, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byText[text], len(s.byText) < maxStatements
}

// keep keeps st, unless somebody was faster.
func (s *statements) keep(text string, st *sql.Stmt) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.byText[text]; other != nil {
		_ = st.Close() // which nobody has used
		return other
	}
	if s.byText == nil {
		s.byText = make(map[string]*sql.Stmt)
	}
	s.byText[text] = st
	return st
}

// close comes before the connections'.
func (s *statements) close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.byText {
		err = errors.Join(err, st.Close())
	}
	s.byText = nil
	return err
}

// unread is the row of a statement that could not be prepared.
type unread struct{ err error }

// Scan says why.
func (u unread) Scan(...any) error { return u.err }
