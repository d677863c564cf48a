package device

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/mem"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// collectWithin is how long a report waits for its figures; what is not there
// by then is left out of it.
const collectWithin = time.Second

// collector gathers what a status report holds: the host's figures, and the
// program's own under custom.
type collector struct {
	diskPath string
	host     *probe
	custom   map[string]*probe
}

func newCollector(cfg *Config) *collector {
	c := &collector{diskPath: cfg.DiskPath, custom: map[string]*probe{}}
	c.host = &probe{measure: func(ctx context.Context) (any, error) { return hostFigures(ctx, c.diskPath), nil }}
	for name, measure := range cfg.Custom {
		c.custom[name] = &probe{measure: measure}
	}
	return c
}

// collect makes a report. The error tells what had to be left out; the report
// is good without it.
func (c *collector) collect(ctx context.Context, deviceID string) (schema.StatusInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, collectWithin)
	defer cancel()
	s := schema.StatusInfo{CPU: &schema.CPUInfo{}, Memory: &schema.MemoryInfo{}, Disk: &schema.DiskInfo{}}
	hostDone := c.host.start(ctx)
	pending := make(map[string]<-chan measured, len(c.custom))
	for name, p := range c.custom {
		pending[name] = p.start(ctx)
	}
	if got := await(ctx, hostDone); got.err == nil {
		s, _ = got.value.(schema.StatusInfo)
	}
	s.DeviceID, s.DevState = deviceID, string(schema.Online)
	var err error
	s.Custom, err = encodeCustom(ctx, pending)
	return s, err
}

// encodeCustom builds the custom object from what the probes found.
func encodeCustom(ctx context.Context, pending map[string]<-chan measured) (schema.RawObject, error) {
	if len(pending) == 0 {
		return nil, nil
	}
	figures := make(map[string]json.RawMessage, len(pending))
	var fault error
	for name, done := range pending {
		figure, err := encodeFigure(await(ctx, done))
		if err != nil {
			fault = fmt.Errorf("custom %s: %w", name, err)
			continue
		}
		figures[name] = figure
	}
	object, err := json.Marshal(figures)
	if err != nil {
		return nil, fmt.Errorf("custom: %w", err)
	}
	if len(object) > schema.MaxCustom {
		return nil, fmt.Errorf("custom: %d bytes, %d are the limit: left out", len(object), schema.MaxCustom)
	}
	return object, fault
}

func encodeFigure(m measured) (json.RawMessage, error) {
	if m.err != nil {
		return nil, m.err
	}
	text, err := json.Marshal(m.value)
	if err != nil {
		return nil, err
	}
	return text, rpc.CheckValue("figure", text, schema.MaxParamsDepth-1) // they are one object together
}

// probe is one function that measures. It never runs twice at once: one that
// hangs costs a goroutine, not one for each report.
type probe struct {
	measure func(context.Context) (any, error)
	running atomic.Bool
}

type measured struct {
	value any
	err   error
}

// start begins a measurement; its result comes on the channel. A goroutine that
// outlives its report ends when measure returns.
func (p *probe) start(ctx context.Context) <-chan measured {
	done := make(chan measured, 1)
	if !p.running.CompareAndSwap(false, true) {
		done <- measured{err: fmt.Errorf("still running")}
		return done
	}
	go func() {
		defer p.running.Store(false)
		defer func() {
			if r := recover(); r != nil {
				done <- measured{err: fmt.Errorf("panic: %v", r)}
			}
		}()
		value, err := p.measure(ctx)
		done <- measured{value, err}
	}()
	return done
}

// await prefers what is there to the end of the time.
func await(ctx context.Context, done <-chan measured) measured {
	select {
	case m := <-done:
		return m
	case <-ctx.Done():
	}
	select {
	case m := <-done:
		return m
	default:
		return measured{err: ctx.Err()}
	}
}

// hostFigures reads the host. A figure that this host does not have is left out.
func hostFigures(ctx context.Context, diskPath string) schema.StatusInfo {
	s := schema.StatusInfo{CPU: &schema.CPUInfo{}, Memory: &schema.MemoryInfo{}, Disk: &schema.DiskInfo{}}
	if t, err := cpu.TimesWithContext(ctx, false); err == nil && len(t) > 0 {
		s.CPU.User, s.CPU.System = rounded(t[0].User, 100), rounded(t[0].System, 100)
		s.CPU.Idle, s.CPU.IOWait = rounded(t[0].Idle, 100), rounded(t[0].Iowait, 100)
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		s.Memory.Total, s.Memory.Free = mebibytes(m.Total), mebibytes(m.Free)
		s.Memory.BuffCache = mebibytes(m.Buffers + m.Cached)
	}
	if d, err := disk.UsageWithContext(ctx, diskPath); err == nil {
		s.Disk.RootTotal, s.Disk.RootUsed = mebibytes(d.Total), mebibytes(d.Used)
		s.Disk.RootPercent = rounded(d.UsedPercent, 10)
	}
	return s
}

func mebibytes(n uint64) *float64 {
	mb := math.Floor(float64(n) / (1 << 20))
	return &mb
}

// rounded keeps 1/unit; what is no number is left out.
func rounded(x, unit float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	x = math.Round(x*unit) / unit
	return &x
}
