package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"forebay/server"
)

type envCmd struct {
	remote
	Shell   string `help:"Shell to write for." enum:"sh,fish,powershell" default:"sh"`
	All     bool   `help:"Also point every other AWS call here: AWS_ENDPOINT_URL and the key pair."`
	TLS     bool   `name:"tls" help:"Use the TLS port, and a bundle of the system's certificates and ours."`
	Profile string `help:"Write an AWS profile of this name to ~/.aws and print nothing else." placeholder:"NAME"`
}

// Run implements the verb.
func (c *envCmd) Run(e *env) error {
	cred, err := c.credentials()
	if err != nil {
		return err
	}
	if (c.All || c.Profile != "") && cred.AccessKeyID == "" {
		return fmt.Errorf("the key pair of the server at %s is not known here; --data-dir names the directory that it is kept in", cred.URL)
	}
	if c.Profile != "" {
		return c.writeProfile(e, &cred)
	}
	vars, err := c.variables(&cred)
	if err != nil {
		return err
	}
	if c.JSON {
		m := map[string]string{}
		for _, v := range vars {
			m[v[0]] = v[1]
		}
		return printJSON(e, m)
	}
	for _, v := range vars {
		if _, err := fmt.Fprintln(e.Out, assignment(c.Shell, v[0], v[1])); err != nil {
			return err
		}
	}
	return nil
}

// assignment exports a variable in the words of a shell.
func assignment(shell, name, value string) string {
	switch shell {
	case "fish": // in single quotes a backslash escapes itself and the quote
		return "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(value) + "'"
	case "powershell":
		return "$env:" + name + " = '" + strings.ReplaceAll(value, "'", "''") + "'"
	default:
		return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
}

// variables point the Bedrock, OpenAI and Anthropic clients here. AWS calls to other
// services keep their own addresses and credentials: the Bedrock clients are given a
// bearer key, which they prefer to whatever else they find.
func (c *envCmd) variables(cred *server.Credentials) ([][2]string, error) {
	base := cred.URL
	var vars [][2]string
	if c.TLS {
		bundle, err := tlsBundle(cred)
		if err != nil {
			return nil, err
		}
		base = cred.TLSURL
		for _, name := range []string{"AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
			vars = append(vars, [2]string{name, bundle})
		}
	}
	for _, svc := range []string{"BEDROCK_RUNTIME", "BEDROCK", "SAGEMAKER", "SAGEMAKER_RUNTIME"} {
		vars = append(vars, [2]string{"AWS_ENDPOINT_URL_" + svc, base})
	}
	vars = append(vars,
		[2]string{"AWS_BEARER_TOKEN_BEDROCK", cred.APIKey},
		[2]string{"OPENAI_BASE_URL", base + "/v1"}, [2]string{"OPENAI_API_KEY", cred.APIKey},
		[2]string{"ANTHROPIC_BASE_URL", base}, [2]string{"ANTHROPIC_API_KEY", cred.APIKey},
		[2]string{"ANTHROPIC_BEDROCK_BASE_URL", base},
		[2]string{"FOREBAY_URL", cred.URL}, [2]string{"FOREBAY_API_KEY", cred.APIKey},
	)
	if c.All {
		vars = append(vars, [2]string{"AWS_ENDPOINT_URL", base}, [2]string{"AWS_ACCESS_KEY_ID", cred.AccessKeyID}, [2]string{"AWS_SECRET_ACCESS_KEY", cred.SecretAccessKey})
	}
	if c.All || !hasRegion() {
		vars = append(vars, [2]string{"AWS_REGION", cred.Region}, [2]string{"AWS_DEFAULT_REGION", cred.Region})
	}
	return vars, nil
}

// hasRegion reports whether AWS clients find a region already. They refuse to start without one, and
// calls to other services must keep the one that they have.
func hasRegion() bool {
	if os.Getenv("AWS_REGION") != "" || os.Getenv("AWS_DEFAULT_REGION") != "" {
		return true
	}
	path := os.Getenv("AWS_CONFIG_FILE")
	if home, err := os.UserHomeDir(); path == "" && err == nil {
		path = filepath.Join(home, ".aws", "config")
	}
	b, err := os.ReadFile(path) //nolint:gosec // where AWS clients read their configuration
	return err == nil && regionLine.Match(b)
}

var regionLine = regexp.MustCompile(`(?m)^\s*region\s*=`)

// systemRoots are where the systems that Go runs on keep their certificates.
var systemRoots = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// writeBundle writes the system's certificates and ours into one file, because the
// variables of clients replace the system's.
func writeBundle(ca string) (string, error) {
	if ca == "" {
		return "", errors.New("the server uses a certificate of its own; trust its issuer yourself")
	}
	out, err := os.ReadFile(ca) //nolint:gosec // our own file
	if err != nil {
		return "", err
	}
	for _, path := range systemRoots {
		if b, err := os.ReadFile(path); err == nil { //nolint:gosec // fixed paths
			out = append(append(out, '\n'), b...)
			break
		}
	}
	path := filepath.Join(filepath.Dir(ca), "ca-bundle.pem")
	return path, os.WriteFile(path, out, 0o600)
}

// profileName is what AWS's tools take as the name of a profile.
var profileName = regexp.MustCompile(`^[A-Za-z0-9_.@:/+-]{1,64}$`)

// writeProfile puts a profile into the AWS configuration and credentials files, and
// leaves every other byte of them as it is.
func (c *envCmd) writeProfile(e *env, cred *server.Credentials) error {
	name := c.Profile
	if !profileName.MatchString(name) {
		return fmt.Errorf("%q is no name for a profile", name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	section := "profile " + name
	if name == "default" {
		section = name
	}
	settings, endpoint := "region = "+cred.Region+"\nservices = forebay-"+name+"\n", cred.URL
	if c.TLS {
		bundle, err := tlsBundle(cred)
		if err != nil {
			return err
		}
		settings, endpoint = settings+"ca_bundle = "+bundle+"\n", cred.TLSURL
	}
	conf := cmp.Or(os.Getenv("AWS_CONFIG_FILE"), filepath.Join(home, ".aws", "config"))
	secret := cmp.Or(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), filepath.Join(home, ".aws", "credentials"))
	for _, f := range []struct{ path, section, body string }{
		{conf, section, settings},
		{conf, "services forebay-" + name, servicesSection(endpoint)},
		{secret, name, "aws_access_key_id = " + cred.AccessKeyID + "\naws_secret_access_key = " + cred.SecretAccessKey + "\n"},
	} {
		old, err := os.ReadFile(f.path)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(f.path, []byte(replaceSection(string(old), f.section, f.body)), 0o600); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(e, map[string]string{"profile": name, "config": conf, "credentials": secret})
	}
	_, err = fmt.Fprintf(e.Out, "profile %s written; use it with AWS_PROFILE=%s\n", name, name)
	return err
}

// tlsBundle is the bundle of certificates for the TLS port.
func tlsBundle(cred *server.Credentials) (string, error) {
	if cred.TLSURL == "" {
		return "", errors.New("the server has no TLS port; set server.tls_listen")
	}
	return writeBundle(cred.CA)
}

func servicesSection(url string) string {
	var b strings.Builder
	for _, svc := range []string{"bedrock", "bedrock_runtime", "sagemaker", "sagemaker_runtime"} {
		b.WriteString(svc + " =\n  endpoint_url = " + url + "\n")
	}
	return b.String()
}

// replaceSection replaces the body of a section of an INI text, or appends the section.
func replaceSection(text, section, body string) string {
	lines := strings.SplitAfter(text, "\n")
	head := "[" + section + "]"
	at := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) == head })
	if at < 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + head + "\n" + body
	}
	end := at + 1
	for end < len(lines) && !strings.HasPrefix(strings.TrimSpace(lines[end]), "[") {
		end++
	}
	for end > at+1 && strings.TrimSpace(lines[end-1]) == "" {
		end-- // the blank lines before the next section belong to it
	}
	return strings.Join(lines[:at], "") + head + "\n" + body + strings.Join(lines[end:], "")
}
