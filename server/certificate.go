package server

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"forebay/config"
)

// certificateCheck is how often a handshake looks whether the certificate's files have changed.
const certificateCheck = 10 * time.Second

// certificate is the certificate of the TLS port. It is read again when its files have
// changed, and when the configuration is; one that cannot be read leaves the old one in
// force. It is safe for concurrent use.
type certificate struct {
	warn func(error) // told of a new certificate that cannot be read

	mu       sync.Mutex
	now      *tls.Certificate
	files    [2]string // certificate and key; "" for a development certificate
	modified [2]time.Time
	checked  time.Time
}

// loadCertificate reads the certificate that a configuration names, or makes one for development.
func (s *Server) loadCertificate(cfg *config.Config) error {
	if cfg.Server.TLSListen == "" {
		return nil
	}
	var err error
	if cfg.Server.TLSCert != "" {
		err = s.cert.load([2]string{cfg.Server.TLSCert, cfg.Server.TLSKey}, time.Now())
	} else {
		var dev tls.Certificate
		if dev, err = developmentCertificate(s.cfg.DataDir, time.Now()); err == nil {
			s.cert.set(&dev)
		}
	}
	if err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return nil
}

func (c *certificate) set(cert *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.files = cert, [2]string{}
}

// load reads a certificate and its key. After an error the old ones stay in force.
func (c *certificate) load(files [2]string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(files, now)
}

func (c *certificate) read(files [2]string, now time.Time) error {
	modified := times(files) // before the files are read: a change meanwhile is seen by the next check
	cert, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		return err
	}
	c.now, c.files, c.modified, c.checked = &cert, files, modified, now
	return nil
}

func times(files [2]string) (out [2]time.Time) {
	for i, f := range files {
		if st, err := os.Stat(f); err == nil {
			out[i] = st.ModTime()
		}
	}
	return out
}

// get is the GetCertificate of a tls.Config.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.at(time.Now()), nil
}

func (c *certificate) at(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[0] == "" || now.Sub(c.checked) < certificateCheck {
		return c.now
	}
	c.checked = now
	if modified := times(c.files); modified != c.modified {
		if err := c.read(c.files, now); err != nil && c.warn != nil {
			c.warn(err) // again after the next pause: the other file may be on its way
		}
	}
	return c.now
}
