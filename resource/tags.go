package resource

import (
	"strings"

	"forebay/fault"
)

// MaxTags is how many tags a resource has at most ("Tag naming limits and requirements", AWS General Reference).
const MaxTags = 50

// CodeTooManyTags marks the fault of a resource that would have more than MaxTags.
const CodeTooManyTags = "too_many_tags"

// Tag is a name and a value.
type Tag struct{ Key, Value string }

// TagMap returns tags by their names. Faults: Invalid for a name that is given twice, or is AWS's own;
// QuotaExceeded with CodeTooManyTags for too many.
func TagMap(tags []Tag) (map[string]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		if err := checkKey(t.Key); err != nil {
			return nil, err
		}
		if _, twice := out[t.Key]; twice {
			return nil, fault.Newf(fault.Invalid, "The tag key %s is given more than once.", t.Key)
		}
		out[t.Key] = t.Value
	}
	return out, checkCount(len(out))
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
