package process

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"forebay/engine"
)

// modeVariable makes this test program one of the processes that the tests start.
const modeVariable = "FOREBAY_TEST_MODE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeVariable); mode != "" {
		os.Exit(modes[mode]())
	}
	os.Exit(m.Run())
}

var modes = map[string]func() int{
	"server":   func() int { return serve(true, func() int { return http.StatusOK }) },
	"stubborn": func() int { signal.Ignore(syscall.SIGTERM); return serve(false, func() int { return http.StatusOK }) },
	"sick":     func() int { return serve(true, func() int { return http.StatusServiceUnavailable }) },
	"gated": func() int {
		return serve(true, func() int {
			if _, err := os.Stat(os.Getenv("GATE")); err != nil {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		})
	},
	"crash":   crash,
	"family":  family,
	"hold":    hold,
	"program": program,
}

// serve answers as the contract wants it, and tells its environment at /env.
func serve(obey bool, ping func() int) int {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", os.Getenv("SAGEMAKER_BIND_TO_PORT")))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	fmt.Fprintln(os.Stdout, "listening, with", strings.Join(os.Args[1:], " "))
	http.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(ping()) })
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Join(os.Environ(), "\n")) })
	if obey {
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		go func() { <-end; fmt.Fprintln(os.Stdout, "asked to end"); os.Exit(0) }()
	}
	fmt.Fprintln(os.Stderr, http.Serve(ln, nil))
	return 1
}

func crash() int {
	for i := range 30 {
		fmt.Fprintln(os.Stdout, "line", i)
	}
	fmt.Fprintln(os.Stdout, "\x1b[31mno such model\x1b[0m")
	return 3
}

// family starts a process that leaves the group and ignores requests to end, tells its number, and serves.
func family() int {
	cmd := exec.CommandContext(background(), os.Args[0])
	cmd.Env = append(os.Environ(), modeVariable+"=hold")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return 5
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 5
	}
	fmt.Fprintln(os.Stdout, "child", strings.TrimSpace(line))
	return serve(true, func() int { return http.StatusOK })
}

func hold() int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	fmt.Fprintln(os.Stdout, os.Getpid())
	select {}
}

// program is one that starts an instance of the named mode, tells its address when it is ready, and waits to be killed.
func program() int {
	dir := os.Getenv("DIR")
	l, err := New(Options{Dir: filepath.Join(dir, "run"), Log: quiet()})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 6
	}
	for name := range strings.FieldsSeq(os.Getenv("NAMES")) {
		i, err := l.Start(background(), &engine.Spec{
			Name: name, Command: []string{os.Args[0]}, LogDir: filepath.Join(dir, "logs"), Env: []string{modeVariable + "=" + os.Getenv("START")},
		})
		if err == nil {
			err = i.Ready(background())
		}
		if err != nil {
			fmt.Fprintln(os.Stdout, err)
			return 6
		}
		fmt.Fprintln(os.Stdout, i.Addr())
	}
	select {}
}
