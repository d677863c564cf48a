package logdrop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/edgetether/tether/schema"
)

var errStoreFull = schema.Errorf(schema.StoreUnavailable, "log_store_full", "the log store has no room for a file now")

// Issue makes a write-only credential for one upload_log order, good for
// schema.UploadLifetime. A second one for the same order replaces the first.
func (r *Receiver) Issue(orderID, deviceID string, now time.Time) (schema.SFTPTarget, error) {
	if !isID(orderID) || !isID(deviceID) {
		return schema.SFTPTarget{}, fmt.Errorf("logdrop: no file name can be made of order %q of device %q", orderID, deviceID)
	}
	r.mu.Lock()
	address, closed := r.address, r.closers == nil
	r.mu.Unlock()
	if closed || address == "" {
		return schema.SFTPTarget{}, errors.New("logdrop: the receiver is not serving")
	}
	if r.room() != nil {
		return schema.SFTPTarget{}, errStoreFull
	}
	u, password, ended := r.book.issue(orderID, deviceID, now)
	for _, old := range ended {
		old.end(r)
	}
	return schema.SFTPTarget{Address: address, HostKey: r.HostKey(), Username: u.user, Password: password}, nil
}

// Complete checks that an order's upload is what the device says it is and
// puts it durably under its final name, with its row. An upload that is
// broken or different is an error of kind Invalid, and ends the credential; one
// that is not known is NotFound; after another error (the disk, the store) Complete may be called
// again. Completing twice with the same data is no error, also after a restart.
func (r *Receiver) Complete(ctx context.Context, orderID string, data schema.UploadData, now time.Time) error {
	u := r.book.find(orderID)
	if u == nil {
		return r.completedBefore(ctx, orderID, data)
	}
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if u.done != nil {
		if *u.done != data {
			return invalidUpload("the upload was completed already, with other data")
		}
		return nil
	}
	if err := r.settle(ctx, u, data); err != nil {
		if schema.KindOf(err) == schema.Invalid {
			r.book.forget(u)
			u.end(r)
		}
		return err
	}
	if err := r.record(ctx, u, data, now); err != nil {
		return err
	}
	u.done = &data
	return nil
}

// completedBefore asks the store of an upload that this process knows nothing
// of: the server may have died after the row and before the order's outcome.
func (r *Receiver) completedBefore(ctx context.Context, orderID string, data schema.UploadData) error {
	f, err := r.o.Rows.LogFile(ctx, schema.Everything, orderID)
	if err != nil && !errors.Is(err, schema.ErrFileNotFound) {
		return err
	}
	if err != nil {
		return schema.Errorf(schema.NotFound, "upload_unknown",
			"no upload of order %s is known: its credential was not used in time, or was issued before the server's last start", orderID)
	}
	if f.Bytes != data.Bytes || f.SHA256 != data.SHA256 {
		return invalidUpload("the upload was completed already, with other data")
	}
	return nil
}

func invalidUpload(format string, args ...any) error {
	return schema.Errorf(schema.Invalid, "invalid_upload", format, args...)
}

// settle brings the upload to its final name, once.
func (r *Receiver) settle(ctx context.Context, u *upload, data schema.UploadData) error {
	if u.placed {
		return nil
	}
	if err := r.awaitWhole(ctx, u); err != nil {
		return err
	}
	if err := r.verify(u, data); err != nil {
		return err
	}
	return r.place(u)
}

// awaitWhole waits for the handle to be closed. The device reports after it
// has closed, so that a handle still open is one whose link is dead.
func (r *Receiver) awaitWhole(ctx context.Context, u *upload) error {
	limit := time.NewTimer(r.limits.closing)
	defer limit.Stop()
	for {
		busy, whole, why := u.state()
		if whole {
			return nil
		}
		if busy == nil {
			return invalidUpload("the upload is not whole: %s", why)
		}
		select {
		case <-busy:
		case <-limit.C:
			return invalidUpload("the upload is not whole: the file was not closed")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// verify compares what lies on the disk with what the device says, and makes
// it durable.
func (r *Receiver) verify(u *upload, data schema.UploadData) error {
	f, err := r.root.OpenFile(u.temp(), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("logdrop: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("logdrop: %w", err)
	}
	if n != data.Bytes {
		return invalidUpload("bytes: the device says %d, %d arrived", data.Bytes, n)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != data.SHA256 {
		return invalidUpload("sha256: what arrived has %s, the device says otherwise", sum)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("logdrop: %w", err)
	}
	return nil
}

// place gives the file its final name. Names are made of order ids, which do
// not repeat: one that exists is not overwritten.
func (r *Receiver) place(u *upload) error {
	name := finalName(u.device, u.order)
	if err := r.root.Mkdir(u.device, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("logdrop: %w", err)
	}
	if _, err := r.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("logdrop: %s exists already (%v)", name, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return invalidUpload("the upload was ended")
	}
	if err := r.root.Rename(u.temp(), name); err != nil {
		return fmt.Errorf("logdrop: %w", err)
	}
	u.placed = true
	return nil
}

// record commits the row, once the names are durable, and removes the files
// that the new one pushed out.
func (r *Receiver) record(ctx context.Context, u *upload, data schema.UploadData, now time.Time) error {
	if err := errors.Join(r.syncDir(u.device), r.syncDir(".")); err != nil {
		return fmt.Errorf("logdrop: %w", err)
	}
	f := schema.LogFile{
		OrderID: u.order, DeviceID: u.device,
		Bytes: data.Bytes, SHA256: data.SHA256, CreatedTime: now.UnixMilli(),
	}
	drop, err := r.o.Rows.AddLogFile(ctx, f, r.o.KeepPerDevice)
	if err != nil {
		return err
	}
	for _, old := range drop {
		if isID(old.DeviceID) && isID(old.OrderID) {
			r.discard(finalName(old.DeviceID, old.OrderID))
		}
	}
	return nil
}

// OpenLog opens a received file.
func (r *Receiver) OpenLog(f schema.LogFile) (io.ReadSeekCloser, error) {
	if !isID(f.DeviceID) || !isID(f.OrderID) {
		return nil, schema.ErrFileNotFound
	}
	file, err := r.root.Open(finalName(f.DeviceID, f.OrderID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, schema.ErrFileNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("logdrop: %w", err)
	}
	return file, nil
}
