package rpc

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// TestF03_KernelKeepsLittle: what the kernel keeps for a device that does not read
// is bounded as well. It counts twice of what it is told (socket(7), SO_SNDBUF).
func TestF03_KernelKeepsLittle(t *testing.T) {
	url, _, peers := listen(t, Options{}, echo)
	connect(t, url).accepted()
	raw, err := within(t, 10*time.Second, peers).conn.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var size int
	if e := raw.Control(func(fd uintptr) { size, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if size != 2*sendBuffer {
		t.Errorf("%d bytes, want %d", size, 2*sendBuffer)
	}
}
