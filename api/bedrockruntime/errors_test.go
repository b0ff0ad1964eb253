package bedrockruntime

import (
	"strings"
	"testing"

	"forebay/api"
	"forebay/fault"
	"forebay/wire"
	shapes "forebay/wire/shapes/bedrockruntime"
)

// Every kind of failure has a row; a name that the service's model knows has the model's status.
func TestErrorTable(t *testing.T) {
	s := New(&api.Gateway{})
	modelled := 0
	for k := range fault.NumKinds {
		f := s.Failure("id", fault.New(k, ""))
		if f.Name == "" || f.Message == "" || f.Status < 400 {
			t.Errorf("%s: %+v", k, f)
		}
		if f.Shape == nil {
			continue
		}
		modelled++
		if f.Shape.Status != f.Status && k != fault.Canceled {
			t.Errorf("%s: %s has status %d, the model says %d", k, f.Name, f.Status, f.Shape.Status)
		}
	}
	if modelled < 12 {
		t.Errorf("only %d kinds have names of the model", modelled)
	}
}

// What an internal error says is for the log.
func TestInternalIsHidden(t *testing.T) {
	f := New(&api.Gateway{}).Failure("id", fault.New(fault.Internal, "the password is x"))
	if f.Name != "InternalServerException" || strings.Contains(string(f.Body()), "password") {
		t.Errorf("%+v", f)
	}
}

// An error of a model carries what the model said, in the members that the error has.
func TestErrorMembers(t *testing.T) {
	s := New(&api.Gateway{})
	e := fault.New(fault.ModelFailed, "")
	e.OriginalStatus, e.OriginalMessage = 418, "I am a \"teapot\""
	for kind, want := range map[fault.Kind]string{
		fault.ModelFailed:  `{"__type":"ModelErrorException","message":"The request failed due to an error while processing the model. I am a \"teapot\"","originalStatusCode":418}`,
		fault.StreamFailed: `{"__type":"ModelStreamErrorException","message":"An error occurred while streaming the response. Retry your request. I am a \"teapot\"","originalStatusCode":418,"originalMessage":"I am a \"teapot\""}`,
	} {
		e.Kind = kind
		if got := string(s.Failure("id", e).Body()); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", kind, got, want)
		}
	}
}

// Every failure is told in a stream as an exception that the stream has.
func TestStreamExceptions(t *testing.T) {
	s := New(&api.Gateway{})
	for _, op := range []*wire.Operation{shapes.InvokeModelWithResponseStream, shapes.ConverseStream} {
		for k := range fault.NumKinds {
			f := s.Failure("id", fault.New(k, ""))
			if got := exception(op, f.Name); !strings.HasSuffix(got, "Exception") {
				t.Errorf("%s: %s is told as %q", op.Name, f.Name, got)
			}
		}
	}
	for _, c := range []struct {
		op         *wire.Operation
		name, want string
	}{
		{shapes.InvokeModelWithResponseStream, modelTimeout, "modelTimeoutException"},
		{shapes.ConverseStream, modelTimeout, "modelStreamErrorException"}, // which has none of its own
		{shapes.ConverseStream, "ThrottlingException", "throttlingException"},
		{shapes.ConverseStream, "SomethingElse", "internalServerException"},
	} {
		if got := exception(c.op, c.name); got != c.want {
			t.Errorf("%s: %s is told as %s, want %s", c.op.Name, c.name, got, c.want)
		}
	}
}
