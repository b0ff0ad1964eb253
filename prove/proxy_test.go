package prove

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"
)

// echo answers each line with itself, after a pause.
func echo(t *testing.T, pause time.Duration) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				lines := bufio.NewScanner(c)
				for lines.Scan() {
					<-time.After(pause)
					if _, err := fmt.Fprintln(c, lines.Text()); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	const pause = 20 * time.Millisecond
	p, err := NewProxy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	p.Forward(echo(t, pause))
	var conn net.Conn
	var lines *bufio.Scanner
	dial := func() {
		t.Helper()
		var d net.Dialer
		if conn, err = d.DialContext(t.Context(), "tcp", p.Address()); err != nil {
			t.Fatal(err)
		}
		lines = bufio.NewScanner(conn)
	}
	say := func(text string) bool {
		_, err := fmt.Fprintln(conn, text)
		return err == nil
	}
	dial()
	defer func() { _ = conn.Close() }()
	if !say("one") || !lines.Scan() || lines.Text() != "one" {
		t.Fatal("nothing came through a healthy proxy")
	}

	p.set(hanging)
	heard := make(chan bool, 1)
	if !say("two") {
		t.Fatal("a hanging proxy broke the connection")
	}
	go func() { heard <- lines.Scan() }()
	select {
	case <-heard:
		t.Error("something came through a hanging proxy")
	case <-time.After(5 * pause):
	}
	p.set(healthy)
	if !<-heard || lines.Text() != "two" {
		t.Error("what hung did not come when the proxy was well again")
	}

	p.set(slow)
	start := time.Now()
	if !say("three") || !lines.Scan() {
		t.Error("nothing came through a slow proxy")
	} else if took := time.Since(start); took < slowness*pause {
		t.Errorf("a slow proxy took %s, ten times %s is more", took, pause)
	}

	p.set(dead)
	if lines.Scan() {
		t.Error("a connection outlived its proxy's death")
	}
	dial()
	if say("four") && lines.Scan() {
		t.Error("a dead proxy answered")
	}
	p.set(healthy)
	dial()
	if !say("five") || !lines.Scan() || lines.Text() != "five" {
		t.Error("nothing came through when the proxy was back")
	}
}
