package upstream

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
)

// A client of one address calls it by its name, in the Host header and towards TLS, and looks
// nothing up and asks no proxy.
func TestPinnedAddress(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	for _, secure := range []bool{false, true} {
		host := make(chan string, 1)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host <- r.Host
			_, _ = w.Write([]byte("ok"))
		}))
		roots := x509.NewCertPool()
		if secure {
			s.StartTLS()
			roots.AddCert(s.Certificate())
		} else {
			s.Start()
		}
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		name := "example.com:" + u.Port() // in httptest's certificate, and not this machine
		c := open(t, Config{BaseURL: u.Scheme + "://" + name, RootCAs: roots, Address: netip.MustParseAddr("127.0.0.1")})
		if got, err := call(t.Context(), c, ""); err != nil || got != "ok" {
			t.Errorf("secure %v: %q %v", secure, got, err)
		} else if h := <-host; h != name {
			t.Errorf("secure %v: called as %q", secure, h)
		}
		s.Close()
	}
}
