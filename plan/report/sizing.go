package report

import (
	"fmt"
	"io"

	"forebay/plan"
)

// Sizing writes the sheet that a request for quota asks for, ready to be pasted.
func Sizing(w io.Writer, a *plan.Answer) error {
	s := a.Sizing
	if s == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, `Request for on-demand quota
  Model                              %s
  Region                             %s
  Requests per minute, steady        %s
  Requests per minute, peak          %s
  Tokens per minute, steady          %s
  Tokens per minute, peak            %s
  Tokens per minute charged, steady  %s   (input + %s x output)
  Tokens per minute charged, peak    %s
  Tokens per minute held, peak       %s   (input + max_tokens %s, as admission holds them)
  Tokens charged on the busiest day  %s
  Mean input tokens per request      %s
  Mean output tokens per request     %s
`, s.Model, s.Region, plan.Grouped(s.SteadyRequests), plan.Grouped(s.PeakRequests), plan.Grouped(s.SteadyTokens), plan.Grouped(s.PeakTokens),
		plan.Grouped(s.SteadyCharged), plan.Milli(s.Burndown), plan.Grouped(s.PeakCharged), plan.Grouped(s.PeakHeld), plan.Grouped(s.MaxOutput),
		plan.Grouped(s.TokensPerDay), plan.Grouped(s.MeanInput), plan.Grouped(s.MeanOutput))
	if err != nil || s.DefaultSource == "" {
		return err
	}
	enough := "is not enough: ask for the larger of the two peaks"
	if s.DefaultIsEnough {
		enough = "holds this traffic"
	}
	_, err = fmt.Fprintf(w, "  Quota now                          %s requests, %s tokens per minute (%s): %s\n", plan.Grouped(s.DefaultRequests), plan.Grouped(s.DefaultTokens), s.DefaultSource, enough)
	return err
}
