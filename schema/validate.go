package schema

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what business services may say of devices, groups and orders.
// Runes count where people write, bytes where programs do.
const (
	MaxIdentifier  = 20       // digits of an identifier: those of a 64-bit number
	MaxHardware    = 64       // bytes of hardware.sn and of hardware.model
	MaxName        = 128      // runes of a name
	MaxType        = 64       // runes of device_type and nic.type
	MaxDescription = 1024     // runes of a description
	MaxSoftware    = 64       // runes of a software's version and status
	MaxNICs        = 16       // interfaces of a device
	MaxIdentifiers = 1000     // members of a list of identifiers
	MaxParams      = 32 << 10 // bytes of an order's params: the message to the device is at most MaxMessage

	// MaxParamsDepth is the nesting of an order's params, and of its result's data.
	// They travel inside two objects, and the whole message is at most MaxDepth deep.
	MaxParamsDepth = MaxDepth - 2
)

var (
	macForm   = regexp.MustCompile(`^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$`)
	imeiForm  = regexp.MustCompile(`^[0-9]{15}$`)
	orderForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)
)

// Validate checks what business services may set of a device.
func (d Device) Validate() error {
	return cmp.Or(
		CheckName("device_name", d.Name),
		d.Hardware.Validate("hardware"),
		CheckText("device_type", d.Type, MaxType),
		CheckText("dev_description", d.Description, MaxDescription),
		d.Software.Validate("software"),
		d.BusinessSoftware.Validate("business_software"),
		CheckNICs("nic", d.NIC),
	)
}

// Validate checks the members that the patch sets.
func (p DevicePatch) Validate() error {
	if p == (DevicePatch{}) {
		return InvalidMember("device_update", "at least one member to change is required")
	}
	var err error
	if p.Name != nil {
		err = CheckName("device_name", *p.Name)
	}
	if p.NIC != nil {
		err = cmp.Or(err, CheckNICs("nic", *p.NIC))
	}
	return cmp.Or(err,
		checkOptional("device_type", p.Type, MaxType),
		checkOptional("dev_description", p.Description, MaxDescription),
		p.Software.Validate("software"),
		p.BusinessSoftware.Validate("business_software"),
	)
}

// Validate checks what business services may set of a group.
func (g Group) Validate() error {
	return cmp.Or(
		CheckName("group_name", g.Name),
		CheckText("group_description", g.Description, MaxDescription),
	)
}

// Validate checks the members that the patch sets.
func (p GroupPatch) Validate() error {
	if p == (GroupPatch{}) {
		return InvalidMember("group_update", "group_name or group_description is required")
	}
	var err error
	if p.Name != nil {
		err = CheckName("group_name", *p.Name)
	}
	return cmp.Or(err, checkOptional("group_description", p.Description, MaxDescription))
}

// Validate checks what an administrator says of a key.
func (k Key) Validate() error {
	if err := CheckName("name", k.Name); err != nil {
		return err
	}
	if !k.Role.Allows(Viewer) {
		return InvalidMember("role", "must be %s, %s or %s", Viewer, Operator, Admin)
	}
	return CheckIDs("group_ids", k.GroupIDs)
}

// Validate checks the pair that identifies a machine. It allows printable
// ASCII alone, so that no two spellings look or compare alike
// (reliability T14). member is the name under which the caller gave h.
func (h Hardware) Validate(member string) error {
	return cmp.Or(checkPrintable(member+".sn", h.SN), checkPrintable(member+".model", h.Model))
}

func checkPrintable(member, s string) error {
	if s == "" {
		return required(member)
	}
	if len(s) > MaxHardware {
		return InvalidMember(member, "must be at most %d bytes", MaxHardware)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return InvalidMember(member, "must be printable ASCII")
		}
	}
	if strings.TrimSpace(s) != s {
		return InvalidMember(member, "must not begin or end with a space")
	}
	return nil
}

// CheckOnceKey checks an Idempotency-Key.
func CheckOnceKey(member, key string) error {
	if key == "" || len(key) > MaxOnceKey {
		return InvalidMember(member, "must have 1 to %d characters", MaxOnceKey)
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return InvalidMember(member, "must be one value of printable ASCII")
	}
	return nil
}

// Validate checks one program's description; nil has none.
func (s *Software) Validate(member string) error {
	if s == nil {
		return nil
	}
	return cmp.Or(
		CheckText(member+".version", s.Version, MaxSoftware),
		CheckText(member+".status", s.Status, MaxSoftware),
		checkDate(member+".last_update", s.LastUpdate),
	)
}

func checkDate(member, s string) error {
	if _, err := time.Parse(time.DateOnly, s); err != nil && s != "" {
		return InvalidMember(member, "must be a date, YYYY-MM-DD")
	}
	return nil
}

// CheckNICs checks a device's interfaces.
func CheckNICs(member string, nics []NIC) error {
	if len(nics) > MaxNICs {
		return InvalidMember(member, "must have at most %d members", MaxNICs)
	}
	for i, n := range nics {
		if err := n.Validate(fmt.Sprintf("%s[%d]", member, i)); err != nil {
			return err
		}
	}
	return nil
}

// Validate checks one interface; all but its type may be empty.
func (n NIC) Validate(member string) error {
	if n.Type == "" {
		return required(member + ".type")
	}
	if err := CheckText(member+".type", n.Type, MaxType); err != nil {
		return err
	}
	if n.MAC != "" && !macForm.MatchString(n.MAC) {
		return InvalidMember(member+".mac", "must be six hexadecimal octets with colons")
	}
	if ip, err := netip.ParseAddr(n.IPv4); n.IPv4 != "" && (err != nil || !ip.Is4()) {
		return InvalidMember(member+".ipv4", "must be an IPv4 address")
	}
	if n.IMEI != "" && !imeiForm.MatchString(n.IMEI) {
		return InvalidMember(member+".imei", "must be 15 digits")
	}
	return nil
}

// CheckName checks a name: required, at most MaxName runes.
func CheckName(member, s string) error {
	if s == "" {
		return required(member)
	}
	return CheckText(member, s, MaxName)
}

// CheckText checks text of at most limit runes: valid UTF-8 without control
// characters, which could forge lines where it is shown (reliability T19).
func CheckText(member, s string, limit int) error {
	if !utf8.ValidString(s) {
		return InvalidMember(member, "must be valid UTF-8")
	}
	if utf8.RuneCountInString(s) > limit {
		return InvalidMember(member, "must be at most %d characters", limit)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return InvalidMember(member, "must not contain control characters")
	}
	return nil
}

func checkOptional(member string, s *string, limit int) error {
	if s == nil {
		return nil
	}
	return CheckText(member, *s, limit)
}

// CheckID checks an identifier: a decimal string.
func CheckID(member, s string) error {
	if s == "" {
		return required(member)
	}
	if len(s) > MaxIdentifier || strings.Trim(s, "0123456789") != "" {
		return InvalidMember(member, "must be a string of 1 to %d decimal digits", MaxIdentifier)
	}
	return nil
}

// CheckIDs checks a list of identifiers: none twice, at most MaxIdentifiers.
func CheckIDs(member string, ids []string) error {
	if len(ids) > MaxIdentifiers {
		return InvalidMember(member, "must have at most %d members", MaxIdentifiers)
	}
	seen := make(map[string]bool, len(ids))
	for i, id := range ids {
		at := fmt.Sprintf("%s[%d]", member, i)
		if err := CheckID(at, id); err != nil {
			return err
		}
		if seen[id] {
			return InvalidMember(at, "is given twice")
		}
		seen[id] = true
	}
	return nil
}

// CheckPassword checks a password that a person chose. The form of a secret
// alone says how it is checked at a login, so a chosen one must not look like
// one that the server made. The message never repeats the password.
func CheckPassword(member, s string) error {
	if len(s) < MinPassword || len(s) > MaxPassword {
		return InvalidMember(member, "must be %d to %d bytes", MinPassword, MaxPassword)
	}
	if strings.HasPrefix(s, PasswordPrefix) || strings.HasPrefix(s, TokenPrefix) {
		return InvalidMember(member, "must not begin with %s or %s, which mark secrets that the server made", PasswordPrefix, TokenPrefix)
	}
	return CheckText(member, s, MaxPassword)
}

// CheckOrder checks an order's name.
func CheckOrder(member, s string) error {
	if s == "" {
		return required(member)
	}
	if !orderForm.MatchString(s) {
		return InvalidMember(member, "must be a letter and at most 63 more letters, digits, '_', '.' or '-'")
	}
	return nil
}

// CheckParams checks the params of an order: an object that a device's frame
// limits let through. The integrator's own orders must carry it; the
// framework's take no params, and may leave it out, null or empty.
func CheckParams(member, order string, params RawObject) error {
	var object map[string]json.RawMessage
	given := len(params) > 0 && string(params) != "null"
	switch {
	case !given && IsInner(order):
		return nil
	case !given:
		return required(member)
	case len(params) > MaxParams:
		return InvalidMember(member, "must be at most %d bytes", MaxParams)
	case json.Unmarshal(params, &object) != nil:
		return InvalidMember(member, "must be an object")
	case IsInner(order) && len(object) > 0:
		return InvalidMember(member, "must be empty: %s takes no params", order)
	}
	return CheckShape(member, params, MaxParamsDepth)
}

// CheckShape holds valid JSON to a nesting, and to the length of numbers that
// is accepted in a message (southbound section 1).
func CheckShape(member string, text []byte, most int) error {
	depth, number, inString := 0, 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case inString:
			if c == '\\' {
				i++ // whatever is escaped does not end the string
			}
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if !inString && strings.IndexByte("0123456789+-.eE", c) >= 0 {
			number++
		} else {
			number = 0
		}
		if depth > most {
			return InvalidMember(member, "must be nested at most %d deep", most)
		}
		if number > MaxNumber {
			return InvalidMember(member, "must have numbers of at most %d characters", MaxNumber)
		}
	}
	return nil
}

// Valid says whether k is one of the kinds of events.
func (k EventKind) Valid() bool {
	switch k {
	case EventConnect, EventLogin, EventLoginFailed, EventLoginRefused, EventState, EventStatus, EventOrder,
		EventOrderResult, EventRestartVerified, EventRestartUnverified, EventUpload, EventUpdate, EventDisconnect, EventDuplicateIdentity, EventLost:
		return true
	}
	return false
}

// Valid says whether s is one of the states.
func (s DevState) Valid() bool { return s == Online || s == Unknown || s == Offline }

func required(member string) error { return InvalidMember(member, "required") }
