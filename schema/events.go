package schema

import (
	"encoding/json"
	"slices"
)

// EventSelection narrows a stream of events; empty members match all.
type EventSelection struct {
	DeviceID string
	GroupID  string // of devices that are in it when the event is read
	JobIDs   []string
	Kinds    []EventKind
}

// Takes says whether the stream has an event, which may be of a job's order.
// Who is in the group only the store knows.
func (s EventSelection) Takes(deviceID, jobID string, kind EventKind) bool {
	if s.DeviceID != "" && s.DeviceID != deviceID || len(s.JobIDs) > 0 && !slices.Contains(s.JobIDs, jobID) {
		return false
	}
	for _, k := range s.Kinds {
		if k == kind {
			return true
		}
	}
	return len(s.Kinds) == 0
}

// EventOrderRef is what the detail of an event says of the order that it is of.
type EventOrderRef struct {
	OrderID string `json:"order_id"`
	JobID   string `json:"job_id"` // empty: the order is of no job
}

// OrderRef reads e's detail; the zero EventOrderRef: it is of no order.
func (e Event) OrderRef() (ref EventOrderRef) {
	switch e.Kind {
	case EventOrder, EventOrderResult, EventRestartVerified, EventRestartUnverified:
	default:
		return ref
	}
	if json.Unmarshal(e.Detail, &ref) != nil {
		return EventOrderRef{}
	}
	return ref
}

// OrderDetail builds the detail of an event of o: its order_id, its job_id if
// it is of a job, and what else there is to say.
func OrderDetail(o Order, pairs ...any) json.RawMessage {
	if o.JobID != nil {
		pairs = append(pairs, "job_id", *o.JobID)
	}
	return Detail(append(pairs, "order_id", o.OrderID)...)
}

// EventRange is what the store has of a stream behind a position.
type EventRange struct {
	// Events are in the order of Pos; never null.
	Events []Event
	// Through is how far was looked: there is no other event of the stream up
	// to here. A range may be empty and not at the end.
	Through int64
	// First is the first position that is still kept. If it is more than one
	// after the position asked for, those between were removed; the range then
	// has no events, and Through is before First.
	First int64
	// Last is the position of the last event of all.
	Last int64
}
