package schema

// EventSelection narrows a stream of events; empty members match all.
type EventSelection struct {
	DeviceID string
	GroupID  string // of devices that are in it when the event is read
	Kinds    []EventKind
}

// Takes says whether the stream has an event. Who is in the group only the
// store knows.
func (s EventSelection) Takes(deviceID string, kind EventKind) bool {
	if s.DeviceID != "" && s.DeviceID != deviceID {
		return false
	}
	for _, k := range s.Kinds {
		if k == kind {
			return true
		}
	}
	return len(s.Kinds) == 0
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
