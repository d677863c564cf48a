package schema

// Limits of group orders.
const (
	MaxParallel     = 1000      // orders of a job that are under way at once
	DefaultParallel = 100       // where max_parallel does not say
	MaxJobFailures  = 1_000_000 // of max_failures
	MaxJobs         = 100       // jobs that have not ended
	MaxStreamJobs   = 16        // jobs whose events one stream may be limited to
)

// The words of if_offline and if_busy. IfFail is the default of both.
const (
	IfFail  = "fail"
	IfQueue = "queue" // if_offline
	IfWait  = "wait"  // if_busy
)

// JobState is where a job, which is a group order, is in its life.
type JobState string

// The states. From the commit that makes a job anything else than running,
// no order of it is begun. It has ended when every device has an outcome.
const (
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobCancelled JobState = "cancelled" // by business
	JobStopped   JobState = "stopped"   // more than max_failures did not succeed
)

// JobDeviceState is what became of one device of a job: the state of its
// order's record or, where there is no record, why there is none.
type JobDeviceState string

// The states of a device. Cancelled are also the devices whose turn did not
// come before the job was cancelled or stopped.
const (
	DevicePending   JobDeviceState = "pending" // its turn has not come
	DeviceQueued    JobDeviceState = "queued"
	DeviceSent      JobDeviceState = "sent"
	DeviceSucceeded JobDeviceState = "succeeded"
	DeviceFailed    JobDeviceState = "failed"
	DeviceLost      JobDeviceState = "unknown"
	DeviceCancelled JobDeviceState = "cancelled"
	DeviceExpired   JobDeviceState = "expired"
	DeviceRefused   JobDeviceState = "refused" // the reason is the code with which give_order would have refused
)

// Valid says whether s is one of the states.
func (s JobDeviceState) Valid() bool {
	switch s {
	case DevicePending, DeviceQueued, DeviceSent, DeviceSucceeded, DeviceFailed, DeviceLost, DeviceCancelled, DeviceExpired, DeviceRefused:
		return true
	}
	return false
}

// Reasons of orders, and of devices without one, of a job that was ended early.
const (
	ReasonJobCancelled = "job_cancelled"
	ReasonJobStopped   = "job_stopped"
)

// JobFilter chooses devices as device_query_all does; empty members match all.
type JobFilter struct {
	State DevState `json:"dev_state,omitzero"`
	Type  string   `json:"device_type,omitzero"`
	Model string   `json:"model,omitzero"`
	Name  string   `json:"name,omitzero"` // substring, in the store's folding
}

// JobTarget says which devices a job is for: those of a group, of a list, of a
// filter, or those of another job that did not succeed. They are looked up
// once, when the job is made.
type JobTarget struct {
	Kind    string     `json:"kind"` // TargetGroup, …
	GroupID string     `json:"group_id,omitzero"`
	Filter  *JobFilter `json:"filter,omitzero"`
	JobID   string     `json:"job_id,omitzero"`
}

// The kinds of targets.
const (
	TargetGroup   = "group"
	TargetDevices = "devices"
	TargetFilter  = "filter"
	TargetRetry   = "retry"
)

// Job is a group order's record.
type Job struct {
	JobID       string    `json:"job_id"`
	Target      JobTarget `json:"target"`
	Order       string    `json:"order"`
	IsInner     bool      `json:"is_inner"`
	Params      RawObject `json:"params"`
	MaxParallel int64     `json:"max_parallel"`
	MaxFailures *int64    `json:"max_failures"` // null: it goes on, however many fail
	IfOffline   string    `json:"if_offline"`
	IfBusy      string    `json:"if_busy"`
	TTL         int64     `json:"ttl_s"`
	State       JobState  `json:"state"`
	Counts      JobCounts `json:"counts"`
	By          string    `json:"by"`
	CancelledBy *string   `json:"cancelled_by"`
	CreatedTime int64     `json:"created_time"`
	EndedTime   *int64    `json:"ended_time"`
}

// JobCounts counts a job's devices by their state.
type JobCounts struct {
	Total     int64 `json:"total"`
	Pending   int64 `json:"pending"`
	Queued    int64 `json:"queued"`
	Sent      int64 `json:"sent"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Unknown   int64 `json:"unknown"`
	Cancelled int64 `json:"cancelled"`
	Expired   int64 `json:"expired"`
	Refused   int64 `json:"refused"`
}

// Failures are the devices that have an outcome other than success.
func (c JobCounts) Failures() int64 {
	return c.Failed + c.Unknown + c.Cancelled + c.Expired + c.Refused
}

// Of is the count of a state; nil for what is none.
func (c *JobCounts) Of(s JobDeviceState) *int64 {
	return map[JobDeviceState]*int64{
		DevicePending: &c.Pending, DeviceQueued: &c.Queued, DeviceSent: &c.Sent, DeviceSucceeded: &c.Succeeded,
		DeviceFailed: &c.Failed, DeviceLost: &c.Unknown, DeviceCancelled: &c.Cancelled, DeviceExpired: &c.Expired, DeviceRefused: &c.Refused,
	}[s]
}

// JobDevice is one device of a job.
type JobDevice struct {
	DeviceID string         `json:"device_id"`
	OrderID  string         `json:"order_id"` // given with the job; it has a record once the order is queued or sent
	State    JobDeviceState `json:"state"`
	Reason   *string        `json:"reason"`
	Message  string         `json:"message"`
}

// JobResults is a job, and a part of its devices.
type JobResults struct {
	Job
	List[JobDevice]
}

// NewJob is a job to be made. Its Target says where to look for the devices,
// of which DeviceIDs are those of TargetDevices. Its Once is as an order's.
type NewJob struct {
	Job
	DeviceIDs []string
	Once      Once
}

// JobOrder is the order of a device that a job has not given yet.
type JobOrder struct {
	Place    int64 // of the device in the job, from 1
	DeviceID string
	OrderID  string
}
