package session

import (
	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// methods is the southbound protocol from device to cloud, whole: what a
// device may call, and the event that each call becomes. They run on the
// reader's goroutine, so that decoding costs the actor nothing.
var methods = map[string]func(*rpc.Request) event{
	schema.MethodPing:         decodePing,
	schema.MethodUploadStatus: decodeStatus,
	schema.MethodUploadResult: decodeResult,
	schema.MethodLogin:        decodeLogin,
	schema.MethodDiscover:     decodeDiscover,
}

// decode turns a request of the device into an event.
func decode(r *rpc.Request) event {
	if m, ok := methods[r.Method]; ok {
		return m(r)
	}
	return badRequest{r, schema.Errorf(schema.MethodNotFound, "method_not_found", "method not found")}
}

func decodePing(r *rpc.Request) event     { return pingRequest{r} }
func decodeDiscover(r *rpc.Request) event { return discoverRequest{r} }

func decodeStatus(r *rpc.Request) event {
	info := readReport(r.Params)
	if info == nil {
		info = new(schema.StatusInfo)
		if err := r.Decode(info); err != nil {
			return badRequest{r, err}
		}
	}
	if err := info.Validate(); err != nil {
		return badRequest{r, err}
	}
	return statusRequest{r, info}
}

func decodeResult(r *rpc.Request) event {
	var res schema.UploadResult
	if err := r.Decode(&res); err != nil {
		return badRequest{r, err}
	}
	if err := res.Validate(); err != nil {
		return badRequest{r, err}
	}
	return resultRequest{r, res}
}

// loginWire tells a member that is missing from one that is empty: an empty
// secret is a wrong one, a missing one makes no login.
type loginWire struct {
	DeviceID *string            `json:"device_id"`
	SN       *string            `json:"device_sn"`
	Model    *string            `json:"device_model"`
	Password *string            `json:"password"`
	Token    *string            `json:"token"`
	BootID   string             `json:"boot_id"`
	Client   *schema.ClientInfo `json:"client"`
}

func decodeLogin(r *rpc.Request) event {
	var w loginWire
	if err := r.Decode(&w); err != nil {
		return loginRequest{to: r, err: err}
	}
	p, err := w.params()
	if err == nil {
		err = p.Validate()
	}
	return loginRequest{to: r, params: p, err: err}
}

// params reads one of the three forms of southbound section 2.
func (w loginWire) params() (schema.LoginParams, error) {
	p := schema.LoginParams{BootID: w.BootID}
	if w.Client != nil {
		p.Client = *w.Client
	}
	switch {
	case w.Password == nil && w.Token == nil:
		return p, schema.InvalidMember("password", "required (or token)")
	case w.Password != nil && w.Token != nil:
		return p, schema.InvalidMember("token", "give a password or a token, not both")
	case w.DeviceID != nil && (w.SN != nil || w.Model != nil):
		return p, schema.InvalidMember("device_id", "give device_id, or device_sn and device_model, not both")
	case w.Token != nil && w.DeviceID == nil:
		return p, schema.InvalidMember("device_id", "required beside a token")
	case w.Token != nil:
		p.DeviceID, p.Token = *w.DeviceID, *w.Token
	case w.DeviceID != nil:
		p.DeviceID, p.Password = *w.DeviceID, *w.Password
	case w.SN == nil:
		return p, schema.InvalidMember("device_sn", "required (or device_id)")
	case w.Model == nil:
		return p, schema.InvalidMember("device_model", "required beside device_sn")
	default:
		p.SN, p.Model, p.Password = *w.SN, *w.Model, *w.Password
	}
	return p, nil
}

// formOf names the form of a login for the log.
func formOf(p schema.LoginParams) string {
	switch {
	case p.Token != "":
		return "token"
	case p.SN != "":
		return "sn_password"
	}
	return "id_password"
}
