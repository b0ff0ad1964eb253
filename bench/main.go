package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: bench suite|mock|floor [flags]")
	}
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:0", "address of mock or floor; loopback only")
	to := fs.String("to", "", "upstream of the floor")
	write := fs.String("write", "", "Markdown file whose tables to rewrite")
	rounds := fs.Int("rounds", 3, "rounds over all targets")
	length := fs.Duration("d", 5*time.Second, "length of one phase")
	against := fs.String("against", "", "another build of the program, to compare a change with")
	only := fs.String("only", "", "phases to run, such as throughput,latency; all when empty")
	profiles := fs.String("profiles", "", "folder to write profiles of Forebay to")
	forebay := fs.String("forebay", "bin/forebay", "the program under test")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "mock":
		return serve(ctx, *listen, mockHandler())
	case "floor":
		u, err := url.Parse(*to)
		if err != nil {
			return err
		}
		return serve(ctx, *listen, floorHandler(u))
	case "suite":
		return suite(ctx, suiteOptions{write: *write, rounds: *rounds, length: *length, forebay: *forebay, against: *against, only: *only, profiles: *profiles})
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}

// serve listens on a loopback address, and on no other.
func serve(ctx context.Context, addr string, h http.Handler) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address", addr)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
