package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/capacity/scale"
	"forebay/config"
	"forebay/engine"
	"forebay/fault"
	"forebay/fleet"
	"forebay/infer"
	"forebay/meter"
)

// replicaVariable makes this test program a replica of an endpoint: it answers with what it is sent, or ends at once.
const replicaVariable = "FOREBAY_TEST_REPLICA"

func serveReplica() int {
	if os.Getenv(replicaVariable) == "broken" {
		fmt.Fprintln(os.Stderr, "no such model")
		return 3
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", os.Getenv("SAGEMAKER_BIND_TO_PORT")))
	if err != nil {
		return 4
	}
	http.HandleFunc("/ping", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/invocations", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = io.Copy(w, r.Body)
	})
	fmt.Fprintln(os.Stderr, http.Serve(ln, nil))
	return 0
}

func deployedConfig(t *testing.T) config.Config {
	c := testConfig(t)
	c.Images = map[string]config.Image{
		"echo":   {Command: []string{os.Args[0]}, Env: []string{replicaVariable + "=echo"}},
		"broken": {From: "echo", Env: []string{replicaVariable + "=broken"}},
	}
	return c
}

func invoked(s *Server, variant, body string) *infer.Request {
	return &infer.Request{
		ID: fmt.Sprintf("req-%x", body), API: "sagemaker-runtime", Operation: "InvokeEndpoint", Dialect: infer.DialectOpaque, Body: []byte(body), Model: variant, ModelAsked: "echo",
		Opaque: &infer.Opaque{ContentType: "application/x-thing"}, Caller: infer.Caller{Account: s.cfg.Account.ID}, Arrived: time.Now(),
	}
}

// Calls that come at once to an endpoint at zero wait for one start of one process, and are all answered; the process ends with the server.
func TestEndpointWakes(t *testing.T) {
	s := run(t, deployedConfig(t))
	v := &fleet.Variant{
		ID: "echo-main-1", Account: s.cfg.Account.ID, Endpoint: "echo", Name: "main", Container: fleet.Container{Image: "echo"},
		Rules: scale.Rules{Max: 1, Slots: 4, Follow: true, Idle: time.Hour},
	}
	if err := s.replicas.Ensure(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if err := s.replicasApply(t.Context()); err != nil { // it comes into force by itself, too, but not by now
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 40 {
		body := fmt.Sprintf("%d\x00\xff", i)
		wg.Go(func() {
			res, err := s.dispatch.Infer(t.Context(), invoked(s, v.ID, body))
			if err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			defer res.Close() //nolint:errcheck // test
			var got bytes.Buffer
			for {
				ev, err := res.Next()
				if err != nil {
					break
				}
				got.Write(ev.Raw)
			}
			if got.String() != body || res.Head.Opaque == nil || res.Head.Opaque.ContentType != "application/x-thing" {
				t.Errorf("call %d: %q, %+v", i, got.String(), res.Head.Opaque)
			}
		})
	}
	wg.Wait()
	st, _ := s.replicas.Status(v.ID)
	if st.Ready != 1 || len(st.Replicas) != 1 || st.Replicas[0].Timeline.Ready.IsZero() {
		t.Errorf("%+v", st)
	}
	e, err := s.ledger.Explain(t.Context(), fmt.Sprintf("req-%x", "7\x00\xff"))
	if err != nil || e.Mode != meter.ModeServerless || e.Engine != st.Replicas[0].Name {
		t.Errorf("%+v, %v", e, err)
	}
	if list, _ := filepath.Glob(filepath.Join(s.cfg.DataDir, "replicas", "instances", "*")); len(list) != 1 {
		t.Errorf("records %v", list)
	}
}

func TestEndpointThatDoesNotStart(t *testing.T) {
	s := run(t, deployedConfig(t))
	ctx := t.Context()
	changes := s.replicas.Changes(ctx)
	if err := s.replicas.Ensure(ctx, &fleet.Variant{
		ID: "bad-1", Account: s.cfg.Account.ID, Endpoint: "bad", Name: "main", Container: fleet.Container{Image: "broken"}, Rules: scale.Rules{Min: 1, Max: 1},
	}); err != nil {
		t.Fatal(err)
	}
	for range changes {
		if st, _ := s.replicas.Status("bad-1"); st.Reason != "" {
			if !strings.Contains(st.Reason, "exit status 3") || !strings.HasSuffix(st.Reason, "no such model") {
				t.Errorf("%q", st.Reason)
			}
			break
		}
	}
	if err := s.replicas.Ensure(ctx, &fleet.Variant{ID: "x", Container: fleet.Container{Image: "none:1"}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no such image: %v", err)
	}
}

func TestImages(t *testing.T) {
	images := map[string]config.Image{
		"vllm":  {From: "vllm", Env: []string{"A=b"}},
		"own":   {From: "vllm", Command: []string{"run"}, Health: "/up"},
		"loop":  {From: "ring"},
		"ring":  {From: "loop"},
		"chat":  {Command: []string{"x"}, Protocol: "openai"},
		"plain": {Command: []string{"x"}},
	}
	for name, want := range map[string]string{
		"vllm": "openai vllm /health [A=b]", "own": "openai vllm /up [A=b]", "chat": "openai  /health []", "plain": "container   []", "tgi": "openai tgi /health []",
	} {
		i, ok := imageOf(images, name, len(images)+1)
		if got := fmt.Sprintf("%s %s %s %v", i.Protocol, i.Flavour, i.Health, i.Env); !ok || got != want {
			t.Errorf("%s: %q (%v), want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"loop", "ring", "nothing"} {
		if _, ok := imageOf(images, name, len(images)+1); ok {
			t.Errorf("%s is an image", name)
		}
	}
	s := &Server{cfg: config.Config{Instances: map[string]config.Instance{"ml.m5.large": {CPUs: 2, Memory: 8 << 30}}}}
	if r, ok := s.instance("ml.m5.large"); !ok || r != (engine.Resources{CPUMilli: 2000, Memory: 8 << 30}) {
		t.Errorf("%+v, %v", r, ok)
	}
	if _, ok := s.instance("ml.p9.metal"); ok {
		t.Error("a type that is not there")
	}
}
