package resource

import (
	"regexp"
	"strings"

	"forebay/fault"
)

// MaxTags is how many tags a resource has at most ("Tag naming limits and requirements", AWS General Reference).
const MaxTags = 50

// The form of tags in the service's model.
const (
	maxTagKey   = 128
	maxTagValue = 256
)

var tagForm = regexp.MustCompile(`^[a-zA-Z0-9\s._:/=+@-]*$`)

// CodeTooManyTags marks the fault of a resource that would have more than MaxTags.
const CodeTooManyTags = "too_many_tags"

// Tag is a name and a value.
type Tag struct{ Key, Value string }

// TagMap returns tags by their names. Faults: Invalid for a name that is given twice, or is AWS's own, and for what does not have their form;
// QuotaExceeded with CodeTooManyTags for too many.
func TagMap(tags []Tag) (map[string]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		if err := t.check(); err != nil {
			return nil, err
		}
		if _, twice := out[t.Key]; twice {
			return nil, fault.Newf(fault.Invalid, "The tag key %s is given more than once.", t.Key)
		}
		out[t.Key] = t.Value
	}
	return out, checkCount(len(out))
}

func (t *Tag) check() error {
	switch {
	case t.Key == "" || len(t.Key) > maxTagKey || !tagForm.MatchString(t.Key):
		return fault.Newf(fault.Invalid, "The tag key %.64q has not 1 to %d letters, digits, spaces and ._:/=+@-.", t.Key, maxTagKey)
	case len(t.Value) > maxTagValue || !tagForm.MatchString(t.Value):
		return fault.Newf(fault.Invalid, "The value of the tag %s has not at most %d letters, digits, spaces and ._:/=+@-.", t.Key, maxTagValue)
	}
	return checkKey(t.Key)
}

func checkKey(key string) error {
	if strings.HasPrefix(strings.ToLower(key), "aws:") {
		return fault.Newf(fault.Invalid, "The tag key %s begins with aws:, which is reserved.", key)
	}
	return nil
}

func checkCount(n int) error {
	if n <= MaxTags {
		return nil
	}
	e := fault.Newf(fault.QuotaExceeded, "The request would give the resource %d tags; it can have at most %d.", n, MaxTags)
	e.Code = CodeTooManyTags
	return e
}
