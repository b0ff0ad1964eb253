package prove

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// shop sells provisioned throughput that comes into a status, and notes what it is asked.
type shop struct {
	status string
	mu     sync.Mutex
	asked  []string
	once   sync.Once
	looked chan struct{} // closed when it has been asked for the status
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method)
	text := `{}`
	switch r.Method {
	case http.MethodPost:
		text = `{"provisionedModelArn":"arn:x"}`
	case http.MethodGet:
		s.once.Do(func() { close(s.looked) })
		text = `{"status":"` + s.status + `","failureMessage":"3 of 9 units"}`
	}
	_, _ = w.Write([]byte(text))
}

// What is bought is given back: when the experiment has ended, when nothing came of the purchase, and when the run is broken off.
func TestPurchasesAreGivenBack(t *testing.T) {
	for _, x := range []struct {
		name, status string
		stop         bool
		fails        string
	}{
		{"in service", "InService", false, ""}, {"failed", "Failed", false, "3 of 9 units"}, {"broken off while it waits", "Creating", true, context.Canceled.Error()},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := &shop{status: x.status, looked: make(chan struct{})}
			server := httptest.NewServer(s)
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l := &Lab{URL: server.URL}
			if x.stop {
				go func() {
					<-s.looked
					cancel()
				}()
			}
			arn, giveBack, err := l.buy(ctx, "proof", Model, "", 9)
			if x.fails == "" {
				if err != nil || arn != "arn:x" || slices.Contains(s.asked, http.MethodDelete) {
					t.Fatalf("%q %v %v", arn, err, s.asked)
				}
				cancel() // the run is broken off
				err = giveBack()
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), x.fails) {
				t.Errorf("%v, want %q", err, x.fails)
			}
			if s.asked[len(s.asked)-1] != http.MethodDelete {
				t.Errorf("asked %v: it is still there", s.asked)
			}
		})
	}
}
