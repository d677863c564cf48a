package sim

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Meter reads what a process uses.
type Meter func(context.Context) (Sample, error)

// Sample is what a process used at one time. What a meter does not know is 0.
type Sample struct {
	Seconds float64 `json:"at_s"` // of the run
	RSS     int64   `json:"rss_bytes"`
	Peak    int64   `json:"peak_rss_bytes,omitzero"` // of its life
	CPU     float64 `json:"cpu_s"`                   // since its start
	Threads int64   `json:"threads,omitzero"`
	Files   int64   `json:"open_files,omitzero"`
}

// ticksPerSecond is USER_HZ, the unit of times in /proc, on every Linux.
const ticksPerSecond = 100

// ProcessMeter reads a process of this machine from /proc; pid may be self.
func ProcessMeter(pid string) Meter {
	dir := "/proc/" + pid
	return func(context.Context) (s Sample, err error) {
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			return s, fmt.Errorf("process %s: %w", pid, err)
		}
		for line := range strings.Lines(string(status)) {
			name, rest, _ := strings.Cut(line, ":")
			value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			n, _ := strconv.ParseInt(value, 10, 64) // others are not asked for
			switch name {
			case "VmRSS":
				s.RSS = n << 10
			case "VmHWM":
				s.Peak = n << 10
			case "Threads":
				s.Threads = n
			}
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			return s, err
		}
		if s.CPU, err = cpuOf(stat); err != nil {
			return s, fmt.Errorf("%s/stat: %w", dir, err)
		}
		files, err := os.ReadDir(dir + "/fd")
		if err == nil { // it may be another user's
			s.Files = int64(len(files))
		}
		return s, nil
	}
}

// cpuOf reads utime and stime, the 14th and 15th word of /proc/PID/stat. The
// second is a name in parentheses that may have spaces.
func cpuOf(stat []byte) (float64, error) {
	words := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(words) < 13 {
		return 0, fmt.Errorf("%d words", len(words))
	}
	var ticks int64
	for _, word := range words[11:13] {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return float64(ticks) / ticksPerSecond, nil
}

// MetricsMeter reads a process's figures from its Prometheus endpoint.
func MetricsMeter(url string) Meter {
	client := &http.Client{Timeout: 10 * time.Second}
	return func(ctx context.Context) (s Sample, err error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return s, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return s, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return s, fmt.Errorf("%s: %s", url, resp.Status)
		}
		found := false
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), " ")
			x, _ := strconv.ParseFloat(value, 64) // others are not asked for
			switch name {
			case "process_resident_memory_bytes":
				s.RSS, found = int64(x), true
			case "process_cpu_seconds_total":
				s.CPU = x
			case "process_open_fds":
				s.Files = int64(x)
			}
		}
		if err := lines.Err(); err != nil {
			return s, err
		}
		if !found {
			return s, fmt.Errorf("%s: no process_resident_memory_bytes: is it the server's Prometheus endpoint?", url)
		}
		return s, nil
	}
}

// Usage is what a process used over a run.
type Usage struct {
	Start  Sample  `json:"start"`  // before the first connection
	Steady *Sample `json:"steady"` // when all devices had arrived; null: they never had
	End    Sample  `json:"end"`    // before the devices left
	// Cores is the processor time from the arrival of all, or else the start, to
	// the end, by the time that passed.
	Cores float64 `json:"cores"`
	// PerDevice is what memory has grown by from the start to the end, over the
	// number of devices.
	PerDevice int64 `json:"bytes_per_device"`
}

// sum fills in what follows from the samples.
func (u *Usage) sum(devices int) {
	from := u.Start
	if u.Steady != nil {
		from = *u.Steady
	}
	if passed := u.End.Seconds - from.Seconds; passed > 0 {
		u.Cores = (u.End.CPU - from.CPU) / passed
	}
	u.PerDevice = (u.End.RSS - u.Start.RSS) / int64(devices)
}
