package schema

// Methods of the southbound contract.
const (
	MethodLogin        = "login"                     // device to cloud
	MethodPing         = "ping"                      // device to cloud
	MethodUploadStatus = "upload_status_info"        // device to cloud
	MethodUploadResult = "upload_instruction_result" // device to cloud
	MethodDiscover     = "rpc.discover"              // device to cloud

	MethodGiveOrder      = "give_order"      // cloud to device
	MethodRestartConfirm = "restart_confirm" // cloud to device, a notification
	MethodDeviceUpdate   = "device_update"   // cloud to device
)

// The framework's own orders; all others are the integrator's.
const (
	OrderRestart   = "restart"
	OrderUploadLog = "upload_log"
)

// IsInner says whether an order belongs to the framework.
func IsInner(order string) bool { return order == OrderRestart || order == OrderUploadLog }

// RestartWait is the message with which a device accepts a restart order.
const RestartWait = "wait Server Confirm"

// Subprotocol is the WebSocket subprotocol, selected when a client offers it.
const Subprotocol = "tether.v1"

// RemoteDir is where upload_log puts its file when nothing else is said.
const RemoteDir = "/var/log/devices_management"

// CloseCode is a WebSocket close code of southbound section 5.
type CloseCode int

// The close codes.
const (
	CloseDone         CloseCode = 1000
	CloseProtocol     CloseCode = 1002 // broken frame
	CloseBinary       CloseCode = 1003 // binary frame
	CloseUTF8         CloseCode = 1007 // invalid UTF-8
	ClosePolicy       CloseCode = 1008 // malformed in a row, fragments, slow message, flood
	CloseTooBig       CloseCode = 1009
	CloseInternal     CloseCode = 1011
	CloseRestart      CloseCode = 1012 // reason retry_after_ms=N
	CloseNoLogin      CloseCode = 4400 // the first request was no usable login
	CloseLoginFailed  CloseCode = 4401 // refused, or the password was changed
	CloseLiveness     CloseCode = 4408 // no login in time, or 3 liveness failures
	CloseTakeover     CloseCode = 4409 // a newer login of the same device
	CloseDeviceGone   CloseCode = 4410 // deleted or disabled
	CloseLoginLimited CloseCode = 4429 // reason retry_after_ms=N
)

// ClientInfo is what a device program says of itself at login.
type ClientInfo struct {
	Name    string `json:"name,omitzero"`
	Version string `json:"version,omitzero"`
}

// LoginParams are the params of login in its three forms: device_id and
// password, device_sn and device_model and password, device_id and token.
type LoginParams struct {
	DeviceID string     `json:"device_id,omitzero"`
	SN       string     `json:"device_sn,omitzero"`
	Model    string     `json:"device_model,omitzero"`
	Password string     `json:"password,omitzero"`
	Token    string     `json:"token,omitzero"`
	BootID   string     `json:"boot_id,omitzero"` // new at every start of the device process
	Client   ClientInfo `json:"client,omitzero"`
}

// Heartbeat tells a device its cadence; milliseconds.
type Heartbeat struct {
	PingIntervalMS   int64 `json:"ping_interval_ms"`
	StatusIntervalMS int64 `json:"status_interval_ms"`
	ReplyTimeoutMS   int64 `json:"reply_timeout_ms"`
	MaxFailures      int   `json:"max_failures"`
}

// LoginResult answers a login.
type LoginResult struct {
	DeviceID     string    `json:"device_id"`
	Token        string    `json:"token"`
	TokenExpires int64     `json:"token_expires_time"`
	ServerTime   int64     `json:"server_time"`
	Unsettled    []string  `json:"unsettled_orders"` // orders whose outcome the server does not know
	Heartbeat    Heartbeat `json:"heartbeat"`
}

// CPUInfo are cumulative processor times in seconds.
type CPUInfo struct {
	User   *float64 `json:"user_cpu_time,omitzero"`
	System *float64 `json:"system_cpu_time,omitzero"`
	Idle   *float64 `json:"idle_cpu_time,omitzero"`
	IOWait *float64 `json:"io_wait_cpu_time,omitzero"`
}

// MemoryInfo is in MiB.
type MemoryInfo struct {
	Total     *float64 `json:"total_memory_mb,omitzero"`
	Free      *float64 `json:"free_memory_mb,omitzero"`
	BuffCache *float64 `json:"buff_cache_mb,omitzero"`
}

// DiskInfo is of the root file system, in MiB and percent.
type DiskInfo struct {
	RootTotal   *float64 `json:"root_total_size_mb,omitzero"`
	RootUsed    *float64 `json:"root_used_size_mb,omitzero"`
	RootPercent *float64 `json:"root_used_percent,omitzero"`
}

// StatusInfo are the params of upload_status_info.
type StatusInfo struct {
	DeviceID string      `json:"device_id,omitzero"`
	CPU      *CPUInfo    `json:"CPU_info"`
	Memory   *MemoryInfo `json:"Memory_info"`
	Disk     *DiskInfo   `json:"Disk_info"`
	DevState string      `json:"dev_state,omitzero"` // the device's own word
	Custom   RawObject   `json:"custom,omitzero"`    // the device's own object
}

// SFTPTarget is a write-only credential for one upload_log order.
type SFTPTarget struct {
	Address  string `json:"address"`  // host:port
	HostKey  string `json:"host_key"` // authorized_keys form: "ssh-ed25519 AAAA…"
	Username string `json:"username"`
	Password string `json:"password"`
}

// GiveOrder are the params of give_order.
type GiveOrder struct {
	OrderID   string      `json:"order_id"`
	OrderType string      `json:"order_type"`
	IsInner   bool        `json:"is_inner"`
	DeviceID  string      `json:"device_id"`
	Params    RawObject   `json:"params"`
	RemoteDir string      `json:"remote_dir,omitzero"`
	SFTP      *SFTPTarget `json:"sftp,omitzero"`
	Deadline  int64       `json:"deadline_time"`
}

// Result words of an order.
const (
	ResultSuccess = "success"
	ResultFail    = "fail"
)

// OrderResult is the device's answer to give_order.
type OrderResult struct {
	Status  string    `json:"status"` // ResultSuccess or ResultFail
	Message string    `json:"message"`
	Data    RawObject `json:"data,omitzero"`
}

// UploadData is OrderResult.Data of an upload_log order.
type UploadData struct {
	Bytes      int64  `json:"bytes"`
	SHA256     string `json:"sha256"` // lower-case hex
	RemotePath string `json:"remote_path"`
}

// UploadResult are the params of upload_instruction_result.
type UploadResult struct {
	OrderID string    `json:"order_id"`
	Status  string    `json:"status"`
	Message string    `json:"message"`
	Data    RawObject `json:"data,omitzero"`
}

// RestartConfirm are the params of restart_confirm.
type RestartConfirm struct {
	OrderID string `json:"order_id"`
}

// DeviceUpdate are the params of device_update: the record as it is now.
type DeviceUpdate struct {
	DeviceID         string    `json:"device_id"`
	Name             string    `json:"device_name"`
	Type             string    `json:"device_type"`
	Description      string    `json:"dev_description"`
	Software         *Software `json:"software"`
	BusinessSoftware *Software `json:"business_software"`
	NIC              []NIC     `json:"nic"`
	UpdatedTime      int64     `json:"updated_time"`
	// Version counts business changes; it is what "told" is remembered by and
	// does not travel.
	Version int64 `json:"-"`
}
