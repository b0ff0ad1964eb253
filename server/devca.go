package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// Names of the development certificate authority's files in the data directory.
const (
	caCertFile   = "ca.pem"
	caKeyFile    = "ca-key.pem"
	leafFile     = "tls.pem"
	leafKeyFile  = "tls-key.pem"
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 397 * 24 * time.Hour // the longest that browsers accept
	leafRenew    = 30 * 24 * time.Hour
	caName       = "localhost"
)

// developmentCertificate returns the certificate of the TLS port, signed by a certificate
// authority that is made at the first start and kept in dir (mode 0600). Clients trust it
// through the file caPath names. The authority is for this machine's development alone:
// its key never leaves dir, and what it signs is valid for this machine's own names only.
func developmentCertificate(dir string, now time.Time) (tls.Certificate, error) {
	ca, key, err := devCA(dir, now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("development certificate authority in %s: %w", dir, err)
	}
	leaf, err := tls.LoadX509KeyPair(filepath.Join(dir, leafFile), filepath.Join(dir, leafKeyFile))
	if err == nil && now.Add(leafRenew).Before(leaf.Leaf.NotAfter) && leaf.Leaf.CheckSignatureFrom(ca) == nil {
		return leaf, nil
	}
	return devLeaf(dir, ca, key, now)
}

// caPath is where the development authority's certificate lies.
func caPath(dir string) string { return filepath.Join(dir, caCertFile) }

func devCA(dir string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	pair, err := tls.LoadX509KeyPair(caPath(dir), filepath.Join(dir, caKeyFile))
	if err == nil {
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok {
			return nil, nil, errors.New("the key is not an ECDSA key; remove the files to make new ones")
		}
		if now.Add(leafRenew).Before(pair.Leaf.NotAfter) {
			return pair.Leaf, key, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	return newDevCA(dir, now)
}

func newDevCA(dir string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Forebay development CA"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		// Who steals the key must not be able to play other servers to those who trust it.
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{caName},
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}, {IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	if err := writePair(dir, caCertFile, caKeyFile, der, key); err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, err
}

func devLeaf(dir string, ca *x509.Certificate, caKey *ecdsa.PrivateKey, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: caName},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     earlier(now.Add(leafLifetime), ca.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{caName, "*." + caName},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, key.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := writePair(dir, leafFile, leafKeyFile, der, key); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(filepath.Join(dir, leafFile), filepath.Join(dir, leafKeyFile))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func writePair(dir, certName, keyName string, der []byte, key *ecdsa.PrivateKey) error {
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := replaceFile(filepath.Join(dir, keyName), keyPEM); err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return replaceFile(filepath.Join(dir, certName), certPEM)
}

// serial returns a random 120-bit serial number; RFC 5280 allows up to 160 bits.
func serial() *big.Int {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return new(big.Int).SetBytes(b[:])
}
