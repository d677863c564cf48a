package sim

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// wrongAtOnce is how many logins with a wrong secret are under way at once: the
// service takes a second to refuse one.
func (f Faults) wrongAtOnce() int { return int(min(2*f.WrongLogins+50, 8192)) }

// wrongPatience is how long each of them waits for its answer: so long that there is
// room for the next. A flood does not wait for a service that takes its time.
func (f Faults) wrongPatience() time.Duration {
	share := 0.9 * float64(f.wrongAtOnce()) / f.WrongLogins
	return min(time.Duration(share*float64(time.Second)), 2*dialTimeout)
}

// guessLogins logs in as devices of the fleet with wrong secrets, of both kinds,
// from addresses that no device has, until ctx ends.
func (f *fleet) guessLogins(ctx context.Context) {
	room := make(chan struct{}, f.options.Faults.wrongAtOnce())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	n := 0
	every(ctx, f.options.Faults.WrongLogins, func() {
		n++
		guess := n
		select {
		case room <- struct{}{}:
			tasks.Go(func() {
				answer := f.guess(ctx, guess)
				if ctx.Err() == nil { // the end of the run is no answer
					f.stats.wrong.add(answer)
				}
				<-room
			})
		default:
			f.stats.wrong.add("not tried: the simulator is late")
		}
	})
}

// guess is one such login; it says what became of it.
func (f *fleet) guess(ctx context.Context, n int) string {
	leaves := time.Now().Add(f.options.Faults.wrongPatience())
	ctx, cancel := context.WithDeadline(ctx, leaves)
	defer cancel()
	answer := f.guessOnce(ctx, n)
	if !time.Now().Before(leaves) && answer != wrongAccepted {
		return "left without an answer"
	}
	return answer
}

func (f *fleet) guessOnce(ctx context.Context, n int) string {
	dialer := websocket.Dialer{
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: &writeBuffers,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return f.options.Dial(ctx, network, address, f.strangers(n))
		},
	}
	ws, _, err := dialer.DialContext(ctx, f.url, nil)
	if err != nil {
		return "connect: " + cause(dialCause(err))
	}
	stop := context.AfterFunc(ctx, func() { _ = ws.Close() }) // ends what waits below
	defer stop()
	defer ws.Close() //nolint:errcheck // it is over
	secret := fmt.Sprintf("wrong-%d", n)
	if n%2 == 0 {
		secret = schema.PasswordPrefix + secret
	}
	login := requestOf(1, schema.MethodLogin, schema.LoginParams{DeviceID: f.anyone(), Password: secret})
	if err := ws.WriteMessage(websocket.TextMessage, login); err != nil {
		return cause(lostCause(err))
	}
	_, raw, err := ws.ReadMessage()
	if err != nil {
		return cause(lostCause(err))
	}
	m, ok := parse(raw)
	switch {
	case !ok:
		return "not understood"
	case m.Error == nil:
		return wrongAccepted
	case m.Error.kind() == schema.LoginFailed:
		return "refused"
	case m.Error.kind() == schema.Overloaded:
		return "held back"
	}
	return cause(m.Error.Message)
}

// wrongAccepted must not happen.
const wrongAccepted = "ACCEPTED"
