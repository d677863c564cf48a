package sim

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// registrar makes the fleet's devices known to the server, and forgets them.
type registrar struct {
	*Options
	known map[string]*Account // by serial number, from the state file
}

// accounts are the fleet's, registered: those of the state file as they are,
// others of the same serial numbers with new passwords, the rest anew.
func (r *registrar) accounts(ctx context.Context) ([]*Account, error) {
	all := make([]*Account, 0, r.Devices)
	var missing []*Account
	for i := range r.Devices {
		sn := fmt.Sprintf("%s-%05d", r.Prefix, i+1)
		chosen := i < r.Bcrypt
		if chosen { // they stay what they are, however many there are next time
			sn = fmt.Sprintf("%s-b-%05d", r.Prefix, i+1)
		}
		a, found := r.known[sn]
		if !found {
			a = &Account{SN: sn, Model: Model}
			if chosen {
				a.Password = rand.Text()
			}
			missing = append(missing, a)
		}
		all = append(all, a)
	}
	if len(missing) == 0 {
		return all, nil
	}
	r.Say("Registering %d devices", len(missing))
	there, err := r.add(ctx, missing)
	if err == nil && len(there) > 0 {
		r.Say("%d of them are there already: they get new passwords", len(there))
		err = r.adopt(ctx, there)
	}
	return all, err
}

// add imports devices, and returns those that the server has already.
func (r *registrar) add(ctx context.Context, accounts []*Account) (there []*Account, err error) {
	read, write := io.Pipe()
	go func() { _ = write.CloseWithError(writeLines(write, accounts)) }() // it returns nil
	defer read.Close()                                                    //nolint:errcheck // likewise; it ends the writer
	_, err = r.API.DeviceImport(ctx, read, client.ImportOptions{}, func(l client.ImportLine) error {
		if l.Line < 1 || l.Line > int64(len(accounts)) {
			return fmt.Errorf("the import answers a line %d that there is not", l.Line)
		}
		a := accounts[l.Line-1]
		switch l.Code {
		case "":
			a.DeviceID, a.Password = l.DeviceID, l.Password
		case "device_exists":
			there = append(there, a)
		default:
			return fmt.Errorf("device %s: %s: %s", a.SN, l.Code, l.Message)
		}
		return nil
	})
	return there, err
}

func writeLines(to io.Writer, accounts []*Account) error {
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(out)
	for _, a := range accounts {
		line := map[string]any{
			"device_name": a.SN, "device_type": "simulated", "hardware": schema.Hardware{SN: a.SN, Model: Model},
		}
		if a.Password != "" {
			line["password"] = a.Password
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

// adopt finds devices by their serial numbers and gives them new passwords.
func (r *registrar) adopt(ctx context.Context, accounts []*Account) error {
	bySN := make(map[string]*Account, len(accounts))
	for _, a := range accounts {
		bySN[a.SN] = a
	}
	err := r.list(ctx, func(d schema.Device) {
		if a := bySN[d.Hardware.SN]; a != nil {
			a.DeviceID = d.DeviceID
		}
	})
	if err != nil {
		return err
	}
	return each(ctx, r.Callers, accounts, func(ctx context.Context, a *Account) error {
		body := map[string]any{"device_id": a.DeviceID}
		if a.Password != "" {
			body["password"] = a.Password
		}
		var answer struct{ Password string }
		err := r.API.Call(ctx, http.MethodPut, "device_password_update", body, &answer)
		if err == nil && a.Password == "" {
			a.Password = answer.Password
		}
		return err
	})
}

// list tells of all simulated devices of the prefix that the server has.
func (r *registrar) list(ctx context.Context, tell func(schema.Device)) error {
	q := url.Values{"model": {Model}, "name": {r.Prefix}, "limit": {fmt.Sprint(schema.MaxPageLimit)}}
	for {
		var page schema.List[schema.Device]
		if err := r.API.Call(ctx, http.MethodGet, "device_query_all?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, d := range page.Items {
			tell(d)
		}
		if page.NextCursor == "" {
			return nil
		}
		q.Set("cursor", page.NextCursor)
	}
}

// gather puts the devices into the group, which is made if it is not there.
func (r *registrar) gather(ctx context.Context, accounts []*Account) (groupID string, err error) {
	if groupID, err = r.group(ctx); err != nil {
		return "", err
	}
	r.Say("Putting %d devices into the group %s", len(accounts), r.Group)
	return groupID, each(ctx, r.Callers, accounts, func(ctx context.Context, a *Account) error {
		err := r.API.Call(ctx, http.MethodPost, "relation_add", map[string]any{"device_id": a.DeviceID, "group_id": groupID}, nil)
		if refusedAs(err, "relation_exists") {
			return nil
		}
		return err
	})
}

func (r *registrar) group(ctx context.Context) (string, error) {
	var added struct {
		GroupID string `json:"group_id"`
	}
	err := r.API.Call(ctx, http.MethodPost, "group_add", map[string]any{"group_name": r.Group}, &added)
	if !refusedAs(err, "group_exists") {
		return added.GroupID, err
	}
	q := url.Values{"limit": {fmt.Sprint(schema.MaxPageLimit)}}
	for {
		var page schema.List[schema.Group]
		if err := r.API.Call(ctx, http.MethodGet, "group_query_all?"+q.Encode(), nil, &page); err != nil {
			return "", err
		}
		for _, g := range page.Items {
			if g.Name == r.Group {
				return g.GroupID, nil
			}
		}
		if page.NextCursor == "" {
			return "", fmt.Errorf("the group %s exists and is not to be found", r.Group)
		}
		q.Set("cursor", page.NextCursor)
	}
}

// cleanUp deletes the devices. Those that are gone already are no error.
func (r *registrar) cleanUp(ctx context.Context, accounts []*Account) error {
	r.Say("Deleting %d devices", len(accounts))
	return each(ctx, r.Callers, accounts, func(ctx context.Context, a *Account) error {
		err := r.API.Call(ctx, http.MethodDelete, "device_delete", map[string]any{"device_id": a.DeviceID}, nil)
		if refusedAs(err, "device_not_found") {
			return nil
		}
		return err
	})
}

// patiently does something again as long as the service says that it has too much
// to do: the key of the fleet has a limit, which thousands of devices meet at once.
func patiently(ctx context.Context, do func() error) error {
	for {
		err := do()
		var e *schema.Error
		if !errors.As(err, &e) || e.Kind != schema.Overloaded {
			return err
		}
		select {
		case <-time.After(max(e.RetryAfter, 100*time.Millisecond)):
		case <-ctx.Done():
			return err
		}
	}
}

// each does something for all, n at once. The first error ends it.
func each[T any](ctx context.Context, n int, all []T, do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan T)
	var workers sync.WaitGroup
	for range min(n, len(all)) {
		workers.Go(func() {
			for one := range next {
				if err := patiently(ctx, func() error { return do(ctx, one) }); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, one := range all {
		if ctx.Err() != nil {
			break
		}
		next <- one
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
