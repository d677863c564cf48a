package northapi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// The things of every test's store. Those of "own" are in the groups that the
// scoped keys are limited to; those of "foreign" are not.
const (
	ownGroup, ownDevice, ownOrder, ownUpload                 = "101", "201", "301", "302"
	foreignGroup, foreignDevice, foreignOrder, foreignUpload = "102", "202", "303", "304"
	ownQueued, foreignQueued                                 = "305", "306"
	ownJob, foreignJob, bothJob                              = "501", "502", "505"
	ownEnded, foreignEnded                                   = "503", "504"
	spareGroup                                               = "103" // empty, and within the scope too
	missing                                                  = "999"
	logText                                                  = "one line of a device's log\n"
)

// Times of the seed, and the present of every test.
const (
	loginTime = int64(1_795_305_500_000)
	seenTime  = loginTime + 50
	present   = int64(1_795_305_600_000)
)

// template is a database with the seed in it, which each test gets a copy of,
// and the secrets that were made for it.
var template struct {
	path    string
	keys    map[string]string // by kind: "viewer", "scoped admin", …, "revoked"
	cookies map[string]string // of log-ins with them, by kind
	secrets []string
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "northapi")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	template.path = filepath.Join(dir, "seed.db")
	if err := seed(context.Background(), template.path); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func seed(ctx context.Context, path string) (err error) {
	s, err := store.Open(ctx, "sqlite:"+path, store.Options{Migrate: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return errors.Join(
		seedDevice(ctx, s, ownDevice, ownGroup, ownOrder, ownUpload),
		seedDevice(ctx, s, foreignDevice, foreignGroup, foreignOrder, foreignUpload),
		queued(ctx, s, ownDevice, ownQueued, schema.Once{}),
		queued(ctx, s, foreignDevice, foreignQueued, schema.Once{}),
		s.AddGroup(ctx, schema.Group{GroupID: spareGroup, Name: "spare"}),
		seedJob(ctx, s, ownJob, ownDevice),
		seedJob(ctx, s, foreignJob, foreignDevice),
		seedJob(ctx, s, bothJob, ownDevice, foreignDevice),
		endedJob(ctx, s, ownEnded, ownDevice),
		endedJob(ctx, s, foreignEnded, foreignDevice),
		seedKeys(ctx, s),
	)
}

// seedJob makes a job for devices, which runs.
func seedJob(ctx context.Context, s *store.Store, job string, devices ...string) error {
	next := 0
	_, err := s.AddJob(ctx, schema.Everything, schema.NewJob{DeviceIDs: devices, Job: schema.Job{
		JobID: job, Target: schema.JobTarget{Kind: schema.TargetDevices}, Order: "blink", Params: schema.RawObject(`{"n":3}`), MaxParallel: 5,
		IfOffline: schema.IfFail, IfBusy: schema.IfFail, TTL: 60, By: "key:seed", CreatedTime: loginTime,
	}}, func() string { next++; return fmt.Sprint(job, next) })
	return err
}

// endedJob makes one that has ended: the device was offline.
func endedJob(ctx context.Context, s *store.Store, job, device string) error {
	err := errors.Join(seedJob(ctx, s, job, device), s.RefuseOrder(ctx, job, 1, "device_offline", "the device is offline"))
	_, more := s.SettleJob(ctx, job, loginTime)
	return errors.Join(err, more)
}

// seedDevice adds a device that was there once, carried out an order,
// uploaded its log, and went.
func seedDevice(ctx context.Context, s *store.Store, device, group, order, upload string) error {
	d := schema.Device{
		DeviceID: device, Name: "press " + device, Type: "press", Enabled: true,
		Hardware: schema.Hardware{SN: "SN" + device, Model: "M"}, CreatedTime: 1, UpdatedTime: 1,
	}
	sent := loginTime + 10
	err := errors.Join(
		s.AddGroup(ctx, schema.Group{GroupID: group, Name: "group " + group}),
		s.AddDevice(ctx, d, "sha256:none", "key:seed"),
		s.AddRelation(ctx, schema.Everything, device, group, 1),
		login(ctx, s, device, 1),
		settled(s, schema.Order{
			OrderID: order, DeviceID: device, Order: "blink", Params: schema.RawObject(`{"n":3}`),
			State: schema.OrderSent, By: "key:seed", CreatedTime: sent, SentTime: &sent,
		}),
	)
	s.Presence(schema.Presence{DeviceID: device, Epoch: 1, State: schema.Offline, Reason: "eof", LastSeen: seenTime, Now: seenTime})
	file := schema.LogFile{OrderID: upload, DeviceID: device, Bytes: int64(len(logText)), SHA256: "abc", CreatedTime: seenTime}
	_, more := s.AddLogFile(ctx, file, 10)
	return errors.Join(err, more)
}

// queued has an order wait for its device.
func queued(ctx context.Context, s *store.Store, device, order string, once schema.Once) error {
	_, err := s.Enqueue(ctx, schema.Queued{Once: once, Expires: present + 60_000, Order: schema.Order{
		OrderID: order, DeviceID: device, Order: "blink", By: "key:seed", CreatedTime: loginTime,
	}})
	return err
}

// login makes the device online for the store.
func login(ctx context.Context, s *store.Store, device string, epoch int64) error {
	_, err := s.Claim(ctx, schema.Claim{DeviceID: device, Epoch: epoch, Version: 1, TokenHash: "sha256:none", BootID: "b", Form: "token", Now: loginTime})
	return err
}

// settled carries an order from its intent to success.
func settled(s *store.Store, o schema.Order) error {
	done := make(chan error, 2)
	s.BeginOrder(schema.Intent{Order: o, Epoch: 1, BootID: "b", Due: loginTime + 10_000}, func(err error) { done <- err })
	s.EndOrder(schema.Outcome{OrderID: o.OrderID, DeviceID: o.DeviceID, Epoch: 1, State: schema.OrderSucceeded, Message: "ok", Now: loginTime + 20},
		func(_ schema.Order, err error) { done <- err })
	return errors.Join(<-done, <-done)
}

func seedKeys(ctx context.Context, s *store.Store) error {
	template.keys, template.cookies = map[string]string{}, map[string]string{}
	var all error
	add := func(kind string, k schema.Key) {
		k.KeyID = fmt.Sprint(400 + len(template.keys))
		secret := store.Secrets{}.NewKey()
		template.keys[kind] = secret
		template.secrets = append(template.secrets, secret)
		value := store.Secrets{}.NewSession()
		template.cookies[kind] = value
		template.secrets = append(template.secrets, value)
		all = errors.Join(all, s.AddKey(ctx, k, store.Secrets{}.HashToken(secret)), s.AddKeySession(ctx, schema.Login{
			KeySession: schema.KeySession{KeyID: k.KeyID, CreatedTime: present, UsedTime: present, ExpiresTime: present + 60_000},
			Hash:       store.Secrets{}.HashToken(value), Idle: 60_000, Most: 2,
		}))
	}
	add("revoked", schema.Key{Name: "old", Role: schema.Admin})
	for _, role := range []schema.Role{schema.Viewer, schema.Operator, schema.Admin} {
		add(string(role), schema.Key{Name: string(role), Role: role})
		add("scoped "+string(role), schema.Key{Name: "line", Role: role, GroupIDs: []string{ownGroup, spareGroup}})
	}
	return errors.Join(all, s.RevokeKey(ctx, revokedKey, 1))
}

// revokedKey is the identifier of the key of kind "revoked".
const revokedKey = "400"
