package endpoint_test

import (
	"fmt"
	"testing"

	"forebay/endpoint"
	"forebay/fault"
	"forebay/resource"
)

// Files of the server's own machine, and of what it reaches in its network, are for the operator to name.
func TestModelsOfTenantsNameNoFilesOfThisMachine(t *testing.T) {
	b := newBench(t)
	b.Operator = account
	for i, x := range []struct {
		data             string
		operator, tenant bool
	}{
		{"s3://weights/x.tar.gz", true, true},
		{"hf://org/name", true, true},
		{"/etc", true, false},
		{"file:///etc", true, false},
		{"https://127.0.0.1/x.tar.gz", true, false},
		{"https://models.example/x.tar.gz", true, false},
		{"ftp://models.example/x", false, false},
		{"x.tar.gz", false, false},
	} {
		for who, may := range map[string]bool{account: x.operator, "111111111111": x.tenant} {
			_, err := b.CreateModel(t.Context(), &resource.Creation{Account: who}, &endpoint.Model{
				Head: endpoint.Head{Name: fmt.Sprint("data-", i)}, Container: endpoint.Container{Image: "one", Data: x.data},
			})
			if may && err != nil || !may && fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s of %s: %v", x.data, who, err)
			}
		}
	}
}
