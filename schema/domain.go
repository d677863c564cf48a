package schema

import "encoding/json"

// RawObject is a JSON object kept as its text.
type RawObject = json.RawMessage

// DevState is the state that the server keeps of a device, in the contract's
// spelling.
type DevState string

// The states.
const (
	Online  DevState = "online"
	Unknown DevState = "Unknown"
	Offline DevState = "offline"
)

// Hardware identifies a machine; the pair is unique and cannot change.
type Hardware struct {
	SN    string `json:"sn"`
	Model string `json:"model"`
}

// Software describes one program on a device.
type Software struct {
	Version    string `json:"version"`
	LastUpdate string `json:"last_update"` // YYYY-MM-DD, or empty
	Status     string `json:"status"`
}

// NIC is one network interface.
type NIC struct {
	Type string `json:"type"`
	MAC  string `json:"mac"`
	IPv4 string `json:"ipv4"`
	IMEI string `json:"imei,omitzero"`
}

// Device is one device as business services see it. No credential is in it.
type Device struct {
	DeviceID         string    `json:"device_id"`
	Name             string    `json:"device_name"`
	Type             string    `json:"device_type"`
	Description      string    `json:"dev_description"`
	Hardware         Hardware  `json:"hardware"`
	Software         *Software `json:"software"`
	BusinessSoftware *Software `json:"business_software"`
	NIC              []NIC     `json:"nic"`
	Enabled          bool      `json:"enabled"`
	State            DevState  `json:"dev_state"`
	LastSeenTime     *int64    `json:"last_seen_time"` // null: never
	StateReason      string    `json:"state_reason"`
	CreatedTime      int64     `json:"created_time"`
	UpdatedTime      int64     `json:"updated_time"`
}

// DevicePatch changes a device: a nil member stays as it is, a pointer to the
// zero value clears.
type DevicePatch struct {
	Name             *string
	Type             *string
	Description      *string
	Software         *Software
	BusinessSoftware *Software
	NIC              *[]NIC
	Enabled          *bool
}

// DeviceFilter narrows a list of devices; empty members match all.
type DeviceFilter struct {
	State   DevState
	Type    string
	Model   string
	SN      string
	GroupID string
	Name    string // substring, in the store's folding
}

// Page asks for a part of a list.
type Page struct {
	Limit  int    // 1 to MaxPageLimit
	Cursor string // opaque; empty is the beginning
}

// List is a page's answer.
type List[T any] struct {
	Items      []T    `json:"items"`       // never null
	NextCursor string `json:"next_cursor"` // empty: that was all
}

// Group is a set of devices under a unique name.
type Group struct {
	GroupID     string `json:"group_id"`
	Name        string `json:"group_name"`
	Description string `json:"group_description"`
	CreatedTime int64  `json:"created_time"`
	UpdatedTime int64  `json:"updated_time"`
}

// GroupPatch changes a group, as DevicePatch changes a device.
type GroupPatch struct {
	Name        *string
	Description *string
}

// OrderState is where an order is in its life.
type OrderState string

// The states: queued → sent → succeeded | failed | unknown | cancelled | expired.
const (
	OrderQueued    OrderState = "queued"
	OrderSent      OrderState = "sent"
	OrderSucceeded OrderState = "succeeded"
	OrderStateFail OrderState = "failed"
	OrderStateLost OrderState = "unknown"
	OrderCancelled OrderState = "cancelled"
	OrderExpired   OrderState = "expired"
)

// Ended says whether the state is an outcome. An unknown order has ended for
// its caller, and may still become succeeded or failed.
func (s OrderState) Ended() bool { return s != OrderQueued && s != OrderSent }

// Reasons of orders that ended without the device's word.
const (
	ReasonTimeout      = "timeout"
	ReasonDisconnected = "disconnected"
	ReasonRestart      = "server_restart"
	ReasonNotSent      = "not_sent"
	ReasonDeleted      = "deleted" // the device was
)

// Order is an order's record (northbound section 4).
type Order struct {
	OrderID     string     `json:"order_id"`
	DeviceID    string     `json:"device_id"`
	Order       string     `json:"order"`
	IsInner     bool       `json:"is_inner"`
	Params      RawObject  `json:"params"`
	State       OrderState `json:"state"`
	Reason      *string    `json:"reason"`
	Late        bool       `json:"late"`
	Verified    *bool      `json:"verified"`
	Message     string     `json:"message"`
	Data        RawObject  `json:"data"` // null, or what the device said
	JobID       *string    `json:"job_id"`
	By          string     `json:"by"`
	CreatedTime int64      `json:"created_time"`
	SentTime    *int64     `json:"sent_time"`
	EndedTime   *int64     `json:"ended_time"`
}

// Holder is the order that keeps a device busy, as device_busy names it.
type Holder struct {
	OrderID string `json:"order_id"`
	Order   string `json:"order"`
	AgeMS   int64  `json:"age_ms"`
}

// Busy is the refusal of an order while held, sent at its SentTime, is in
// flight; or, if it was not sent, waits for the device since its CreatedTime.
func Busy(held Order, now int64) *Error {
	since, does := held.CreatedTime, "waits for the device"
	if held.SentTime != nil {
		since, does = *held.SentTime, "is in flight"
	}
	h := Holder{OrderID: held.OrderID, Order: held.Order, AgeMS: max(0, now-since)}
	e := Errorf(OrderRefused, "device_busy", "order %s (%s) %s", h.OrderID, h.Order, does)
	e.Data = h
	return e
}

// EventKind is the kind of a line in a device's log (northbound section 2).
type EventKind string

// The kinds of events.
const (
	EventConnect           EventKind = "connect"
	EventLogin             EventKind = "login"
	EventLoginFailed       EventKind = "login_failed"
	EventLoginRefused      EventKind = "login_refused"
	EventState             EventKind = "state"
	EventStatus            EventKind = "status"
	EventOrder             EventKind = "order"
	EventOrderResult       EventKind = "order_result"
	EventRestartVerified   EventKind = "restart_verified"
	EventRestartUnverified EventKind = "restart_unverified"
	EventUpload            EventKind = "upload"
	EventUpdate            EventKind = "update"
	EventDisconnect        EventKind = "disconnect"
	EventDuplicateIdentity EventKind = "duplicate_identity"
	EventLost              EventKind = "events_lost"
)

// Event is one line of a device's log. Seq counts 1, 2, 3… for each device;
// Pos rises over all devices in the order of commits. The store assigns both.
type Event struct {
	Pos      int64           `json:"pos"`
	Seq      int64           `json:"seq"`
	DeviceID string          `json:"device_id"`
	Time     int64           `json:"time"`
	Kind     EventKind       `json:"kind"`
	Outcome  string          `json:"outcome"` // "ok", "failed", "refused", a state, …
	By       string          `json:"by"`      // "device", "server", or "key:NAME"
	Detail   json.RawMessage `json:"detail"`  // an object
}

// Detail builds an event's detail from name, value pairs.
func Detail(pairs ...any) json.RawMessage {
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, ok := pairs[i].(string); ok {
			m[name] = pairs[i+1]
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return json.RawMessage(`{}`)
	}
	return b
}

// EventFilter narrows a device's log. Zero times do not limit.
type EventFilter struct {
	DeviceID string
	Since    int64 // inclusive
	Until    int64 // exclusive
	Kind     EventKind
}

// HistoryFilter narrows a device's history. Zero times do not limit; without
// a step, reports are listed as they were kept.
type HistoryFilter struct {
	DeviceID string
	Since    int64 // inclusive
	Until    int64 // exclusive
	Step     int64 // milliseconds, MinHistoryStep to MaxHistoryStep
}

// HistoryPoint is one report of a device, or the average of all that came in
// an interval. An average has the ten figures alone, as far as there were any.
type HistoryPoint struct {
	Time    int64      `json:"time"`    // of the report, or the interval's beginning
	Samples int64      `json:"samples"` // how many reports it stands for
	Report  StatusInfo `json:"report"`
}

// Role is what an API key may do.
type Role string

// The roles, each including those before it.
const (
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // and gives orders, changes relations
	Admin    Role = "admin"    // and everything else
)

// Allows says whether a key of role r may do what needs role need.
func (r Role) Allows(need Role) bool { return rank(r) >= rank(need) && rank(r) > 0 }

func rank(r Role) int {
	switch r {
	case Viewer:
		return 1
	case Operator:
		return 2
	case Admin:
		return 3
	}
	return 0
}

// Key is an API key's record; the key itself is shown once and not kept.
type Key struct {
	KeyID       string   `json:"key_id"`
	Name        string   `json:"name"`
	Role        Role     `json:"role"`
	GroupIDs    []string `json:"group_ids"` // empty: all devices
	CreatedTime int64    `json:"created_time"`
	UsedTime    *int64   `json:"used_time"` // to the minute; null: never
	RevokedTime *int64   `json:"revoked_time"`
}

// Scope limits a store call to the devices of some groups. It is an argument
// of every call made for a key, so that it cannot be left out.
type Scope struct {
	Groups []string // nil: everything
}

// Everything is the scope of the service itself and of unlimited keys.
var Everything = Scope{}

// LogFile is one uploaded device log.
type LogFile struct {
	OrderID     string `json:"order_id"`
	DeviceID    string `json:"device_id"`
	Bytes       int64  `json:"bytes"`
	SHA256      string `json:"sha256"`
	CreatedTime int64  `json:"created_time"`
}
