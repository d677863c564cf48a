package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// registered reads what an import wrote to standard output.
func registered(t *testing.T, text string) (passwords map[string]string) {
	t.Helper()
	passwords = map[string]string{}
	for line := range strings.Lines(text) {
		var r struct {
			DeviceID string `json:"device_id"`
			Password string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err, line)
		}
		passwords[r.DeviceID] = r.Password
	}
	return passwords
}

// TestDeviceImport runs the command against a service, each in a process.
func TestDeviceImport(t *testing.T) {
	t.Parallel()
	s := serve(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		writeFile(t, filepath.Join(dir, name), text)
		return filepath.Join(dir, name)
	}
	run := func(key string, args ...string) *process {
		p := tether(t, []string{"TETHER_KEY=" + key, "TETHER_URL=http://" + s.address + "/"}, append([]string{"device", "import"}, args...)...)
		p.code()
		return p
	}
	expect := func(p *process, code, lines int, told string) {
		t.Helper()
		if p.code() != code || strings.Count(p.out.String(), "\n") != lines || p.err.String() != told {
			t.Errorf("%v: code %d, wrote\n%s\nand\n%s\nwant\n%s", p.cmd.Args[1:], p.code(), &p.out, &p.err, told)
		}
	}
	good := file("good.csv", "device_name,hardware.sn,hardware.model\none,a,M\ntwo,b,M\n")
	mixed := file("mixed.ndjson", `{"device_name":"n","hardware":{"sn":"a","model":"M"}}`+"\n\n"+
		`{"device_name":"n","hardware":{"sn":"c","model":"M"}}`+"\nno JSON\n")
	const exists = "device_exists: hardware: a device with this sn and model is there already\n"

	expect(run(s.api.key, "--dry-run", good), 0, 2, "2 of 2 lines could be registered\n")
	first := run(s.api.key, good)
	expect(first, 0, 2, "2 of 2 lines registered\n")
	for id, password := range registered(t, first.out.String()) {
		if d := s.api.device(id); d.Hardware.Model != "M" || !strings.HasPrefix(password, schema.PasswordPrefix) {
			t.Errorf("%s: %+v", password, d)
		}
	}
	expect(run(s.api.key, good), 1, 0, "line 2: "+exists+"line 3: "+exists+"0 of 2 lines registered\ntether: 2 lines were refused\n")
	expect(run(s.api.key, "--format", "ndjson", mixed), 1, 1,
		"line 1: "+exists+"line 4: malformed_json: body: malformed JSON at byte 1\n1 of 3 lines registered\ntether: 2 lines were refused\n")
	expect(run("tk_wrong", good), 1, 0, "tether: unauthenticated: Authorization: a good key is required; "+
		"give one as TETHER_KEY or by --key-file (\"tether key add\" makes one beside the database)\n")
	expect(run(s.api.key, file("bad.csv", "name\nx\n")), 1, 0, "tether: invalid_member: name: unknown column\n")
	odd := file("odd.txt", "")
	expect(run(s.api.key, odd), 1, 0, "tether: "+odd+": say --format ndjson or --format csv: the name does not tell\n")
	expect(run(s.api.key, "--format", "xml", good), 2, 0, "tether: --format must be one of \"auto\",\"ndjson\",\"csv\" but got \"xml\"\n")
}

// TestDeviceImport_WholeService: an imported device logs in with the password
// that it was given, and a body that stalls is answered as far as it came.
func TestDeviceImport_WholeService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		body, send := io.Pipe()
		req, err := http.NewRequest("POST", "http://tether"+northapi.Base+"/device_import", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.key)
		req.Header.Set("Content-Type", "application/x-ndjson")
		go fmt.Fprintln(send, `{"device_name":"n","hardware":{"sn":"a","model":"M"}}`)
		resp, err := w.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewScanner(resp.Body)
		answers.Scan()
		for id, password := range registered(t, answers.Text()) {
			w.run(device.Config{DeviceID: id, Password: password}, nil)
			time.Sleep(time.Second)
			if d := w.device(id); d.State != schema.Online {
				t.Errorf("the device is %s", d.State)
			}
		}
		asked := time.Now()
		answers.Scan()
		if end := answers.Text(); !strings.Contains(end, `"done":false`) || !strings.Contains(end, `"added":1`) || !strings.Contains(end, "body_cut") {
			t.Errorf("the last line is %q, %v", end, answers.Err())
		}
		if waited := time.Since(asked); waited > time.Minute {
			t.Errorf("it came after %v", waited)
		}
		resp.Body.Close()
		send.Close()
	})
}

// TestProgress: a bar on a terminal, which is never in the way of a line;
// plain lines elsewhere.
func TestProgress(t *testing.T) {
	good, bad := client.ImportLine{Line: 1}, client.ImportLine{Line: 2, Code: "device_exists", Message: "there"}
	for _, c := range []struct {
		terminal bool
		size     int64
		want     string
	}{
		{true, 400, clearLine + "[###############...............]  50 %  2 lines, 0 refused" + clearLine + "line 2: device_exists: there\n" +
			clearLine + "[##############################] 100 %  4 lines, 1 refused" + clearLine},
		{true, 0, clearLine + "2 lines, 0 refused" + clearLine + "line 2: device_exists: there\n" + clearLine + "4 lines, 1 refused" + clearLine},
		{false, 400, "50 %  2 lines, 0 refused\nline 2: device_exists: there\n100 %  4 lines, 1 refused\n"},
		{false, 0, "2 lines, 0 refused\nline 2: device_exists: there\n4 lines, 1 refused\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out, err bytes.Buffer
			p := newProgress(&out, &err, c.terminal, c.size)
			for i, l := range []client.ImportLine{good, good, bad, good} {
				if i%2 == 1 {
					time.Sleep(lineInterval)
				}
				if err := p.line(l, int64(100*(i+1))); err != nil {
					t.Fatal(err)
				}
			}
			p.clear()
			if err.String() != c.want || out.String() != strings.Repeat(`{"line":1}`+"\n", 3) {
				t.Errorf("%+v: wrote %q and %q", c, &out, &err)
			}
		})
	}
}

// TestProgress_OutMustTakeIt: an import does not go on when its passwords
// cannot be kept.
func TestProgress_OutMustTakeIt(t *testing.T) {
	closed, w := io.Pipe()
	closed.Close()
	p := newProgress(w, io.Discard, false, 0)
	if p.line(client.ImportLine{Line: 1}, 1) == nil {
		t.Error("it goes on")
	}
}
