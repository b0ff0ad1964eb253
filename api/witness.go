package api

import (
	"forebay/fault"
	"forebay/infer"
)

// Witness is told what a call answers. It is called by the goroutine that owns the call, must not block, and copies what it
// keeps.
type Witness interface {
	// Answer is told the body of an answer in one piece.
	Answer(body []byte)
	// Event is told an event of a stream: its name, and its payload before it is framed.
	Event(name string, payload []byte)
	// Used is told what tokens the call used.
	Used(u infer.Usage)
	// End is told how the call ended, when its answer is written: name is its error's, "" for none.
	End(c *Call, name string)
}

func used(w Witness, resp *infer.Response) {
	u, _ := resp.Usage()
	w.Used(u)
}

// Witnessed serves a call and tells of it those who want to know.
func (g *Gateway) Witnessed(c *Call, serve func() error) error {
	if g.Witness != nil {
		c.Witness = g.Witness(c)
	}
	if c.Witness == nil {
		return serve()
	}
	err := error(fault.New(fault.Internal, "")) // which a panic leaves
	defer func() {
		name := ""
		if err != nil {
			name = g.FailureName(fault.From(err))
		}
		c.Witness.End(c, name)
	}()
	err = serve()
	return err
}
