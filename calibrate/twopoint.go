package calibrate

import "fmt"

// Point is one run at a constant concurrency, with calls alike.
type Point struct {
	Batch   float64 // calls at once
	Prompt  float64 // tokens of each
	First   float64 // seconds to the first token, of the call that had its last
	Between float64 // seconds between tokens
}

// Line is what TwoPoint finds: Between = A + B x batch and First = G + D x prompt x batch.
type Line struct{ A, B, G, D float64 }

// TwoPoint solves for the lines through two runs: one alone and one at the batch limit. With two points there is
// nothing left to tell an error by, so there are no intervals. G is a step and what is no part of the engine, D holds beside the cost of
// a token its share of the further steps that the prompts took, and the cost of context is part of A and B, at the context of the runs.
func TwoPoint(alone, full Point) (Line, error) {
	if alone.Batch >= full.Batch || alone.Batch < 1 {
		return Line{}, fmt.Errorf("the runs were at %v and %v calls at once: the second must be at more", alone.Batch, full.Batch)
	}
	var l Line
	l.B = (full.Between - alone.Between) / (full.Batch - alone.Batch)
	l.A = alone.Between - l.B*alone.Batch
	l.D = (full.First - alone.First) / (full.Prompt*full.Batch - alone.Prompt*alone.Batch)
	l.G = alone.First - l.D*alone.Prompt*alone.Batch
	if l.A <= 0 || l.B < 0 || l.D < 0 || l.G < 0 {
		return l, fmt.Errorf("the runs are no points of one engine: between tokens %.3g + %.3g x batch, to the first %.3g + %.3g x tokens", l.A, l.B, l.G, l.D)
	}
	return l, nil
}
