package conform

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

var settleScenarios = []scenario[*bench]{
	{"order-lost", "The connection breaks while an order is carried out", []rule{
		{"handed-in", "southbound 2", "The connection broke between give_order and its reply: the device hands the result in after the login"},
		{"result", "southbound 2", "with order_id, status, message, data: the result that it has"},
	}, orderLost},
	{"order-interrupted", "The client's process is killed while an order is carried out", []rule{
		{"handed-in", "southbound 3", `One that it had begun and not ended (the process died) is handed in as fail, "interrupted"`},
		{"again", "southbound 3", `and answered so when it is given again; it is not done again`},
	}, orderInterrupted},
	{"unsettled", "A login result that names unsettled orders", []rule{
		{"known", "southbound 2", "For each of unsettled_orders that its journal holds, the device hands the result in after the login"},
		{"unknown", "southbound 2", "Of one that the journal does not hold it says nothing, or that it failed"},
		{"stays", "southbound 4", "Pings and reports go on"},
	}, unsettled},
	{"device-update", "The record, after business changed it", []rule{
		{"told", "southbound 3", "Result {}: the device was told. A device that does not know the method answers -32601"},
		{"stays", "southbound 3", "It is no order: it neither waits for one nor keeps one waiting"},
	}, deviceUpdate},
	{"upload-log", "upload_log, to an SFTP server that is not there", []rule{
		{"fail", "southbound 3", "The outcome is honest: fail, with a message"},
		{"stays", "southbound 4", "Pings and reports go on"},
	}, uploadLog},
}

// slowOrder has a slow order under way.
func (b *bench) slowOrder(nap time.Duration) (s *session, id string, err error) {
	if s, err = b.session(welcome{}); err != nil {
		return nil, "", err
	}
	if err := s.stay(b.o.beat(time.Second)); err != nil { // the first report is over
		return nil, "", err
	}
	id = b.newOrderID()
	if _, err = b.give(s, id, b.o.SleepOrder, sleepParams(nap), time.Time{}); err != nil {
		return nil, "", err
	}
	return s, id, s.stay(nap / 3)
}

func orderLost(b *bench) error {
	s, id, err := b.slowOrder(b.o.scaled(6 * time.Second))
	if err != nil {
		return err
	}
	s.reset()
	s, e, err := b.knock(2*b.o.Slack.late(b.reconnect().most) + time.Second)
	if err != nil {
		return err
	}
	b.admit(s, e, welcome{unsettled: []string{id}})
	r, err := s.handedIn(id, b.patience())
	if err != nil {
		b.check("handed-in", false, "upload_instruction_result of "+id, "%v", err)
		return nil
	}
	b.check("handed-in", true, "", "")
	b.check("result", r.Status == schema.ResultSuccess, "success", "%s %q", r.Status, excerpt([]byte(r.Message)))
	return nil
}

// handedIn waits for upload_instruction_result of an order.
func (s *session) handedIn(id string, limit time.Duration) (schema.UploadResult, error) {
	err := s.pump(limit, func(message) bool {
		_, found := s.result(id)
		return found
	})
	r, _ := s.result(id)
	return r, err
}

func orderInterrupted(b *bench) error {
	_, id, err := b.slowOrder(b.o.scaled(8 * time.Second))
	if err != nil {
		return err
	}
	if err := b.restart(ErrKilled, func(*client) error { return nil }); err != nil {
		return err
	}
	s, err := b.session(welcome{unsettled: []string{id}})
	if err != nil {
		return err
	}
	r, err := s.handedIn(id, b.patience())
	ok := err == nil && r.Status == schema.ResultFail && r.Message == "interrupted"
	b.check("handed-in", ok, `fail "interrupted"`, "%s %q %v", r.Status, excerpt([]byte(r.Message)), err)
	o, err := b.order(s, id, b.o.SleepOrder, sleepParams(b.o.scaled(8*time.Second)), time.Time{})
	if err != nil {
		return err
	}
	b.check("again", o.is(schema.ResultFail) && o.Message == "interrupted", `fail "interrupted"`, "%s", o)
	return nil
}

func unsettled(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	known, unknown := b.newOrderID(), b.newOrderID()
	first, err := b.echo(s, known)
	if err != nil {
		return err
	}
	if s, err = b.session(welcome{unsettled: []string{unknown, known}}); err != nil {
		return err
	}
	r, err := s.handedIn(known, b.patience())
	same := err == nil && r.Status == first.Status && r.Message == first.Message && contains(r.Data, echoText)
	b.check("known", same, "the result of before: "+first.String(), "%s %q %s %v", r.Status, excerpt([]byte(r.Message)), excerpt(r.Data), err)
	err = s.stay(2 * b.o.beat(schema.PingInterval))
	b.check("stays", err == nil, "the connection is kept", "%v", err)
	r, told := s.result(unknown)
	b.check("unknown", !told || r.Status == schema.ResultFail, "nothing, or fail", "%s %q", r.Status, excerpt([]byte(r.Message)))
	return nil
}

func deviceUpdate(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	order, err := b.give(s, b.newOrderID(), b.o.SleepOrder, sleepParams(b.o.scaled(5*time.Second)), time.Time{})
	if err != nil {
		return err
	}
	update, err := s.call(schema.MethodDeviceUpdate, schema.DeviceUpdate{
		DeviceID: b.o.Device.ID, Name: "conform", Type: "test", Description: "changed", UpdatedTime: time.Now().UnixMilli(),
	})
	if err != nil {
		return err
	}
	m, err := s.await(update, b.patience())
	if err != nil {
		b.check("told", false, "{} or -32601", "%v", err)
		return nil
	}
	var result map[string]any
	ok := m.err != nil && m.err.Code == -32601 || m.err == nil && decode(m.result, &result) == nil
	b.check("told", ok, "{} or -32601", "%s", m)
	_, early := s.answers[order]
	m, err = s.await(order, b.patience())
	b.check("stays", err == nil && !early && outcomeOf(m).is(schema.ResultSuccess),
		"the answer to device_update first, then the order's success", "%v, the order first: %t", err, early)
	return nil
}

// uploadPatience is more than a client tries an upload that cannot succeed.
const uploadPatience = 30 * time.Second

func uploadLog(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	id := b.newOrderID()
	call, err := s.call(schema.MethodGiveOrder, schema.GiveOrder{
		OrderID: id, OrderType: schema.OrderUploadLog, IsInner: true, DeviceID: b.o.Device.ID, Params: schema.RawObject("{}"),
		RemoteDir: schema.RemoteDir, Deadline: time.Now().Add(b.o.scaled(schema.OrderTimeout)).UnixMilli(),
		// Port 1 of the client's own host: nobody is there.
		SFTP: &schema.SFTPTarget{Address: "127.0.0.1:1", HostKey: hostKey(), Username: "conform", Password: "conform"},
	})
	if err != nil {
		return err
	}
	err = s.pump(uploadPatience, func(message) bool { return s.settled(call, id) })
	if err != nil {
		b.check("fail", false, fmt.Sprintf("a reply, or upload_instruction_result, within %v", uploadPatience), "%v", err)
		return nil
	}
	status, text := "", ""
	if r, handed := s.result(id); handed {
		status, text = r.Status, r.Message
	} else {
		o := outcomeOf(s.answers[call])
		status, text = o.Status, o.Message+o.fault
	}
	b.check("fail", status == schema.ResultFail && text != "", "fail, with a message", "%s %q", status, excerpt([]byte(text)))
	err = s.stay(2 * b.o.beat(schema.PingInterval))
	b.check("stays", err == nil, "the connection is kept", "%v", err)
	return nil
}

// hostKey is a public key in the form of authorized_keys that nobody has.
func hostKey() string {
	const name = "ssh-ed25519"
	blob := binary.BigEndian.AppendUint32(nil, uint32(len(name)))
	blob = append(blob, name...)
	blob = binary.BigEndian.AppendUint32(blob, ed25519.PublicKeySize)
	blob = append(blob, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)...)
	return name + " " + base64.StdEncoding.EncodeToString(blob)
}
