package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// roots are what a client trusts that was given the file of the authority.
func roots(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(caPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		t.Fatal("the authority's file holds no certificate")
	}
	return pool
}

func devCertificate(t *testing.T, dir string, now time.Time) *x509.Certificate {
	t.Helper()
	c, err := developmentCertificate(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func TestDevelopmentCertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	leaf := devCertificate(t, dir, now)
	for _, name := range []string{"localhost", "bedrock-runtime.localhost", "127.0.0.1", "::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots(t, dir), DNSName: name, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots(t, dir), DNSName: "bedrock.us-east-1.amazonaws.com", CurrentTime: now}); err == nil {
		t.Error("the certificate is good for another host")
	}
	for _, f := range []string{caCertFile, caKeyFile, leafFile, leafKeyFile} {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, st, err)
		}
	}
}

// The authority's key, once stolen, makes no certificate of another host's name that those
// who trust the authority would take.
func TestDevelopmentAuthorityIsForThisMachineAlone(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca, key, err := devCA(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"localhost": true, "127.0.0.9": true, "bank.example": false, "localhost.example": false, "10.0.0.1": false} {
		tmpl := &x509.Certificate{SerialNumber: serial(), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if ip := net.ParseIP(name); ip != nil {
			tmpl.IPAddresses = []net.IP{ip}
		} else {
			tmpl.DNSNames = []string{name}
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, stolen.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots(t, dir), DNSName: name, CurrentTime: now}); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Certificates stay while they are good, and are made anew in time.
func TestDevelopmentCertificatesAreRenewed(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first := devCertificate(t, dir, now)
	file, err := os.ReadFile(caPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if again := devCertificate(t, dir, now.Add(300*24*time.Hour)); !again.Equal(first) {
		t.Error("the certificate changed while it was good")
	}
	later := now.Add(leafLifetime - leafRenew/2)
	next := devCertificate(t, dir, later)
	if next.Equal(first) {
		t.Error("the certificate is used to its last day")
	}
	if err := os.WriteFile(filepath.Join(dir, leafFile), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	devCertificate(t, dir, later)
	if b, err := os.ReadFile(caPath(dir)); err != nil || !bytes.Equal(b, file) {
		t.Errorf("the authority changed: %v", err)
	}
	late := now.Add(caLifetime - 100*24*time.Hour)
	if leaf := devCertificate(t, dir, late); leaf.NotAfter.After(now.Add(caLifetime)) {
		t.Error("the certificate outlives its authority")
	}
	end := now.Add(caLifetime - leafRenew/2)
	leaf := devCertificate(t, dir, end)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots(t, dir), DNSName: caName, CurrentTime: end}); err != nil {
		t.Errorf("at the authority's end: %v", err)
	}
	if _, err := tls.LoadX509KeyPair(caPath(dir), filepath.Join(dir, caKeyFile)); err != nil {
		t.Error(err)
	}
}
