// Package resource knows how the things that callers of an API make are named, tagged and listed: ARNs, the rules
// of tags, and pages of lists. What a kind of resource is belongs to the package that serves it.
package resource

import (
	"cmp"
	"crypto/rand"
	"strings"
)

// Services, as ARNs have them.
const (
	Bedrock   = "bedrock"
	SageMaker = "sagemaker"
)

// Kinds of resources, as ARNs have them. Sources: the patterns of the service models of Amazon Bedrock and Amazon SageMaker.
const (
	FoundationModel    = "foundation-model"
	SystemProfile      = "inference-profile"
	ApplicationProfile = "application-inference-profile"
	ProvisionedModel   = "provisioned-model"
	CustomModel        = "custom-model"
	CustomDeployment   = "custom-model-deployment"
	ImportedModel      = "imported-model"
	ImportJob          = "model-import-job"

	Model              = "model"
	EndpointConfig     = "endpoint-config"
	Endpoint           = "endpoint"
	InferenceComponent = "inference-component"
)

// ARN names a resource.
type ARN struct {
	Service string // "" is Amazon Bedrock
	Region  string
	Account string // "" of foundation models
	Kind    string
	ID      string // may hold slashes: custom-model/BASE/ID
}

// String returns the ARN in its one form.
func (a ARN) String() string {
	return "arn:aws:" + cmp.Or(a.Service, Bedrock) + ":" + a.Region + ":" + a.Account + ":" + a.Kind + "/" + a.ID
}

// Parse reads an ARN of Amazon Bedrock, of any of AWS's partitions.
func Parse(s string) (ARN, bool) { return ParseOf(Bedrock, s) }

// ParseOf reads an ARN of a service, of any of AWS's partitions.
func ParseOf(service, s string) (ARN, bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") || parts[2] != service {
		return ARN{}, false
	}
	if service == Bedrock {
		service = ""
	}
	kind, id, ok := strings.Cut(parts[5], "/")
	return ARN{Service: service, Region: parts[3], Account: parts[4], Kind: kind, ID: id}, ok && kind != "" && id != ""
}

// Last returns the part of the id behind its last slash, which is what the service made.
func (a ARN) Last() string { return a.ID[strings.LastIndexByte(a.ID, '/')+1:] }

const (
	idLength   = 12
	idAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// NewID returns a new id of a resource: twelve lower-case letters and digits, at random.
func NewID() string {
	var raw [2 * idLength]byte // some bytes are thrown away below
	var out [idLength]byte
	for n := 0; n < idLength; {
		_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
		n += letters(out[n:], raw[:])
	}
	return string(out[:])
}

// letters makes letters of random bytes, and returns how many.
func letters(dst, raw []byte) int {
	n := 0
	for _, b := range raw {
		if n == len(dst) {
			break
		}
		if b < 252 { // the largest multiple of 36, so that every letter is as likely
			dst[n] = idAlphabet[b%36]
			n++
		}
	}
	return n
}

// IsID reports whether a text has the form of an id of a resource.
func IsID(s string) bool {
	return len(s) == idLength && strings.Trim(s, idAlphabet) == ""
}
