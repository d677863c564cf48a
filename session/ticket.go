package session

import "github.com/edgetether/tether/schema"

// ticket is where an order's caller waits. The session puts at most one value
// into each channel and never waits for the caller, who may be long gone.
type ticket struct {
	accepted chan schema.Order
	settled  chan settlement
	news     schema.Waker // nil: nobody waits for it
}

type settlement struct {
	order *schema.Order
	err   error
}

func newTicket(news schema.Waker) *ticket {
	return &ticket{accepted: make(chan schema.Order, 1), settled: make(chan settlement, 1), news: news}
}

func (t *ticket) accept(o schema.Order) {
	t.accepted <- o
	t.news.Wake()
}

func (t *ticket) settle(s settlement) {
	t.settled <- s
	t.news.Wake()
}
