package servegen

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// A distribution in parts has the mean that it had, and its parts lie within it, in order.
func TestSizesKeepTheMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 80).Draw(t, "sizes")
		var all []bin
		sum, total, least, most := 0.0, 0.0, math.Inf(1), 0.0
		for range n {
			b := bin{float64(rapid.IntRange(0, 100_000).Draw(t, "size")), float64(rapid.IntRange(0, 1000).Draw(t, "weight")) / 7}
			all = append(all, b)
			sum, total = sum+b.size*b.weight, total+b.weight
			if b.weight > 0 {
				least, most = min(least, b.size), max(most, b.size)
			}
		}
		s, ok := stratify(all)
		if ok != (total > 0) {
			t.Fatalf("%v of a weight of %v", ok, total)
		}
		if !ok {
			return
		}
		if got, want := s.mean(), sum/total; math.Abs(got-want) > 1e-5*want+1e-3 {
			t.Fatalf("a mean of %v, want %v", got, want)
		}
		before := least - 0.01
		for _, v := range s {
			if float64(v) < before-1e-3*before || float64(v) > most*1.0001+0.01 {
				t.Fatalf("%v is not within %v to %v, in order", s, least, most)
			}
			before = float64(v)
		}
	})
}

// Sizes of few values are drawn as often as their weights say, by a fixed seed, within six deviations.
func TestSizesAreDrawn(t *testing.T) {
	b, ok := bins(jsontext.Value(`"{100: 0.5, 200: 3e-1, 300: 0.1875, 400: 1.25e-2,}"`))
	if !ok || len(b) != 4 {
		t.Fatal(b, ok)
	}
	b[1].weight = 0.3125 // whole parts of 32
	b[3].weight = 0
	s, ok := stratify(b)
	if !ok {
		t.Fatal("no distribution")
	}
	const n = 32_000
	random, got := rand.New(rand.NewPCG(1, 2)), map[int64]float64{}
	for range n {
		got[s.draw(random)]++
	}
	for size, share := range map[int64]float64{100: 0.5, 200: 0.3125, 300: 0.1875} {
		if math.Abs(got[size]-n*share) > 6*math.Sqrt(n*share*(1-share)) {
			t.Errorf("size %d was drawn %v times of %d, want a share of %v", size, got[size], n, share)
		}
	}
	if len(got) != 3 {
		t.Error(got)
	}
}

// Distributions are texts that look like objects, objects, and arrays; others are none.
func TestFormsOfSizes(t *testing.T) {
	for text, want := range map[string]float64{
		`"{100: 0.5, 200: 0.5}"`: 150, `{"100": 1, "300": 3}`: 250, `[0, 0, 1, 1]`: 2.5, `"{ 7 : 2 }"`: 7,
		`"{}"`: -1, `{}`: -1, `[]`: -1, `"{100: x}"`: -1, `"{-5: 1}"`: -1, `"{5: -1}"`: -1, `5`: -1, `"x"`: -1, `"{"`: -1, `[0, 0]`: -1, `"{1e12: 1}"`: -1,
	} {
		got := -1.0
		if b, ok := bins(jsontext.Value(text)); ok {
			if s, ok := stratify(b); ok {
				got = s.mean()
			}
		}
		if math.Abs(got-want) > 1e-4 {
			t.Errorf("%s: a mean of %v, want %v", text, got, want)
		}
	}
}

// FuzzSizes reads what is no distribution without harm.
func FuzzSizes(f *testing.F) {
	f.Add("0", `{"input_tokens":"{100: 0.5, 200: 0.5}","output_tokens":{"3":1}}`)
	f.Add("600", `{"input_tokens":[0,1],"output_tokens":[1],"x":[{}]}`)
	f.Fuzz(func(t *testing.T, at, text string) {
		if !jsontext.Value(text).IsValid() || strings.TrimSpace(text) == "" {
			return
		}
		s, ok := sizedOf(at, jsontext.Value(text))
		if !ok {
			return
		}
		for _, z := range []*sizes{s.in, s.out} {
			if m := z.mean(); !(m >= 0 && m <= maxTokens*1.0001) {
				t.Errorf("%s: a mean of %v", text, m)
			}
		}
	})
}
