package logdrop

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// handlers is all that a credential can do: write one file. The zero answer
// is a refusal.
type handlers struct {
	r *Receiver
	u *upload
}

// Fileread refuses: a credential is write-only.
func (h handlers) Fileread(*sftp.Request) (io.ReaderAt, error) {
	return nil, sftp.ErrSSHFxPermissionDenied
}

// Filewrite begins the upload, whatever the client calls it. The handle keeps q
// until it is closed, and so no more of what came than is needed.
func (h handlers) Filewrite(q *sftp.Request) (io.WriterAt, error) {
	q.Filepath, q.Attrs = strings.Clone(q.Filepath), nil
	w, err := h.u.begin(h.r, q.Filepath)
	if err != nil {
		return nil, err // not w: a nil *writer would be no nil interface
	}
	return w, nil
}

// Filecmd agrees to what clients ask around a write and does none of it:
// Mkdir of the remote directory, mode and times of the file that was written.
// Agreeing to a truncation would be a lie, and all else is refused.
func (h handlers) Filecmd(q *sftp.Request) error {
	switch q.Method {
	case "Mkdir":
		return nil
	case "Setstat":
		if _, known := h.u.named(q.Filepath); known && !q.AttrFlags().Size {
			return nil
		}
	}
	return sftp.ErrSSHFxPermissionDenied
}

// Filelist answers a stat: of the root, so that clients take it for a
// directory to work in, and of the file that was written, whose size some
// clients check. Nothing else exists, and nothing can be listed.
func (h handlers) Filelist(q *sftp.Request) (sftp.ListerAt, error) {
	if q.Method != "Stat" {
		return nil, sftp.ErrSSHFxPermissionDenied
	}
	if size, known := h.u.named(q.Filepath); known {
		return fileInfo{name: path.Base(q.Filepath), size: size, mode: 0o200}, nil
	}
	if q.Filepath == "/" {
		return fileInfo{name: "/", mode: fs.ModeDir | 0o300}, nil
	}
	return nil, sftp.ErrSSHFxNoSuchFile
}

// fileInfo is what a stat shows, and the list of itself alone.
type fileInfo struct {
	name string
	size int64
	mode fs.FileMode
}

// Name and the methods after it make a fileInfo an os.FileInfo that tells little.
func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return time.Unix(0, 0) }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }

// ListAt gives the one entry.
func (i fileInfo) ListAt(into []os.FileInfo, offset int64) (int, error) {
	if offset > 0 || len(into) == 0 {
		return 0, io.EOF
	}
	into[0] = i
	return 1, io.EOF
}
