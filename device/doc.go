// Package device is the device's side of the southbound contract: it connects
// to the server and stays connected, logs in, keeps the heartbeat, reports the
// host's figures and the program's own, carries out orders, and keeps an
// operation log. A whole device:
//
//	d, err := device.New(device.Config{
//		URL: "wss://devices.example.com/ws", DeviceID: "1860117402213097472", Password: os.Getenv("PASSWORD"),
//	})
//	if err != nil {
//		return err
//	}
//	device.On(d, "set_volume", func(ctx context.Context, p struct{ Level int `json:"level"` }) (any, error) {
//		return nil, speaker.Set(p.Level)
//	})
//	return d.Run(ctx)
//
// restart and upload_log are built in; all other orders are registered with On,
// by name and with typed params. The library runs no text that a server sends.
//
// # What it promises
//
// No order id is carried out twice, through a kill, a power loss or a restart.
// The order is in the journal before it begins and its result before it is
// answered; an id that is known is answered with what is remembered, and one
// that a dead process had begun with fail, "interrupted". Results whose answer
// was lost are handed in after the next login, if the server asks for them.
//
// The host key of an SFTP server is checked before a credential is sent, and
// certificates always: there is no switch.
//
// # StateDir
//
//	token.json   the credential of the last login, 0600, replaced whole
//	journal      the last 64 orders, a line for each beginning and each result
//	device.log   the operation log; device-YYYY-MM-DD.log are those before it
//
// A log file covers three days of the calendar, however often the process
// restarts. No secret is in it, and nothing in it obeys a terminal.
//
// # How it is built
//
// What decides has no clock and no goroutine: cadence.go when to speak and when
// to give a connection up, retry.go what follows a connection's end, journal.go
// what is known of an order. Around it:
//
//   - Run's own goroutine is the loop of the present connection (conn.go), or
//     waits for the next one (runner.go). One timer.
//   - The reader of a connection (receive.go) hands in what arrives. It ends
//     with the connection, and run waits for it.
//   - One worker carries out orders (orders.go), and one tells Config.OnUpdate
//     (updates.go). Both live as long as Run, which waits for them; an order
//     goes on while the connection is lost and comes back.
//   - Each report collects its figures aside (status.go), within a second; the
//     connection waits for it. A function of Config.Custom that does not return
//     is not called again until it does, and costs one goroutine.
//
// An upload (upload.go, target.go) runs on the worker and ends its connections
// itself. No mutex is held across a wait, and nothing outlives Run but
// functions of Config that do not return.
package device
