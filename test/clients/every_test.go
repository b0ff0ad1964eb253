package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"forebay/catalog"
	"forebay/internal/testenv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/auth/bearer"
	"github.com/go-json-experiment/json"
)

const question = "What is a forebay?"

// told is what one client was told of one call.
type told struct {
	Client string `json:"client"`
	Input  int64  `json:"input"`
	Output int64  `json:"output"`
}

// The same question through every client, over plain HTTP and over TLS, set up by nothing but
// the variables of `forebay env`: what the clients were told adds up to what the ledger says, in calls, tokens and money.
func TestEveryClient(t *testing.T) {
	for name, flags := range map[string][]string{"plain": nil, "TLS": {"--tls"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			py := python(t)
			node := filepath.Join(testenv.Root(t), "test", "clients", "node")
			if _, err := os.Stat(filepath.Join(node, "node_modules")); err != nil {
				t.Skip("SKIPPED: the Node clients are not installed (make deps)")
			}
			r := start(t)
			env := r.exports(t, t.TempDir(), flags...)
			var calls []told
			for _, printed := range []string{
				output(t, env, py, filepath.Join(testenv.Root(t), "test", "clients", "python", "every_client.py"), question),
				output(t, env, "node", filepath.Join(node, "every-client.mjs"), question),
			} {
				for line := range strings.Lines(printed) {
					var c told
					if err := json.Unmarshal([]byte(line), &c); err != nil {
						t.Fatalf("%v: %s", err, line)
					}
					calls = append(calls, c)
				}
			}
			// The Go SDK sends an API key over TLS only: over plain HTTP it signs, with the key pair of the profile.
			set := overTLS
			if name == "plain" {
				set = ofProfile
			}
			addUp(t, r, append(calls, goClient(t, set(t, r, env))))
		})
	}
}

// overTLS sets the Go SDK up by the variables of `forebay env --tls`. It is told what it would read of its own process's.
func overTLS(t *testing.T, _ *running, env []string) aws.Config {
	t.Helper()
	cfg := map[string]string{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		cfg[name] = value
	}
	ca, err := os.Open(cfg["AWS_CA_BUNDLE"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ca.Close() }()
	c, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(cfg["AWS_REGION"]), config.WithCustomCABundle(ca),
		config.WithBaseEndpoint(cfg["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]),
		config.WithBearerAuthTokenProvider(bearer.StaticTokenProvider{Token: bearer.Token{Value: cfg["AWS_BEARER_TOKEN_BEDROCK"]}}), config.WithAuthSchemePreference("httpBearerAuth"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ofProfile sets the Go SDK up by the profile that `forebay env --profile` writes.
func ofProfile(t *testing.T, r *running, _ []string) aws.Config {
	t.Helper()
	home := t.TempDir()
	forebay(t, r.bare(home), "env", "--profile", "forebay", "--data-dir", r.data)
	c, err := config.LoadDefaultConfig(t.Context(), config.WithSharedConfigProfile("forebay"),
		config.WithSharedConfigFiles([]string{filepath.Join(home, ".aws", "config")}),
		config.WithSharedCredentialsFiles([]string{filepath.Join(home, ".aws", "credentials")}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// goClient asks through the Go SDK.
func goClient(t *testing.T, c aws.Config) told {
	t.Helper()
	out, err := bedrockruntime.NewFromConfig(c).Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: aws.String(haiku), Messages: ask(question), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(40)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return told{"aws-sdk-go-v2 Converse", int64(*out.Usage.InputTokens), int64(*out.Usage.OutputTokens)}
}

// addUp holds what clients were told against `forebay usage`, and shows both.
func addUp(t *testing.T, r *running, calls []told) {
	t.Helper()
	price, err := listPrice(haiku)
	if err != nil {
		t.Fatal(err)
	}
	var sum told
	var money int64
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 2, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "input\toutput\tnano-USD\t client")
	for _, c := range calls {
		if c.Input <= 0 || c.Output <= 0 {
			t.Errorf("%s was told of no tokens", c.Client)
		}
		charge := price.charge(c)
		_, _ = fmt.Fprintf(w, "%d\t%d\t%d\t %s\n", c.Input, c.Output, charge, c.Client)
		sum.Input += c.Input
		sum.Output += c.Output
		money += charge
	}
	_, _ = fmt.Fprintf(w, "%d\t%d\t%d\t %d calls together\n", sum.Input, sum.Output, money, len(calls))
	_ = w.Flush()
	t.Logf("What the clients were told:\n%s", table.String())
	env := r.bare(t.TempDir())
	t.Logf("What the ledger says:\n%s", forebay(t, env, "usage", "--by", "api,model", "--data-dir", r.data))
	var u usage
	if err := json.Unmarshal([]byte(forebay(t, env, "usage", "--json", "--by", "api,model", "--data-dir", r.data)), &u); err != nil {
		t.Fatal(err)
	}
	var requests, input, output, charge, unpriced int64
	for _, row := range u.Rows {
		requests, input, output = requests+row.Requests, input+row.Input, output+row.Output
		charge, unpriced = charge+row.Charge, unpriced+row.Unpriced
	}
	if requests != int64(len(calls)) || input != sum.Input || output != sum.Output || charge != money || unpriced != 0 || len(u.Rows) != 3 {
		t.Errorf("the ledger has %d calls, %d and %d tokens, %d nano-USD; clients saw %d, %d and %d, %d", requests, input, output, charge, len(calls), sum.Input, sum.Output, money)
	}
}

// tokenPrice is nano-units a token.
type tokenPrice struct{ input, output int64 }

func (p tokenPrice) charge(c told) int64 { return c.Input*p.input + c.Output*p.output }

// listPrice is the catalogue's price of a model whose tokens cost whole nano-units.
func listPrice(id string) (tokenPrice, error) {
	const million = 1_000_000
	for _, m := range catalog.Builtin() {
		if m.ID == id && m.Price != nil && *m.Price.Input%million == 0 && *m.Price.Output%million == 0 {
			return tokenPrice{*m.Price.Input / million, *m.Price.Output / million}, nil
		}
	}
	return tokenPrice{}, fmt.Errorf("no price of whole nano-units for %s", id)
}
