package api_test

import (
	"testing"

	"forebay/api"
	"forebay/api/bedrock"
	"forebay/api/sts"
	"forebay/fault"
)

// The tables of errors are complete, and where a service's model knows an error's name, the status is the model's.
func TestErrorTables(t *testing.T) {
	for _, s := range []*api.AWS{&bedrock.New(&api.Gateway{}, bedrock.Control{}).AWS, sts.New()} {
		for k := range fault.NumKinds {
			f := s.Failure("id", fault.New(k, ""))
			if f.Name == "" || f.Message == "" || f.Status < 400 {
				t.Errorf("%s, %s: %+v", s.Name(), k, f)
			}
			if f.Shape != nil && f.Shape.Status != 0 && f.Shape.Status != f.Status && k != fault.Canceled {
				t.Errorf("%s, %s: %s has status %d, the model says %d", s.Name(), k, f.Name, f.Status, f.Shape.Status)
			}
		}
	}
}

// A client's fault and a server's are told apart.
func TestFaultSide(t *testing.T) {
	for kind, want := range map[fault.Kind]string{fault.Invalid: "Sender", fault.Throttled: "Sender", fault.Internal: "Receiver", fault.Unavailable: "Receiver"} {
		f := sts.New().Failure("id", fault.New(kind, ""))
		if f.Fault() != want {
			t.Errorf("%s is the %s's", kind, f.Fault())
		}
	}
}
