package custom

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/artifact"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

const (
	operator = "000000000000"
	other    = "111111111111"
)

// host stands for those who serve models.
type host struct {
	changed  func() error
	used     string
	deployed func(arn string) error
}

func (h *host) Base(_, name string) (string, error) {
	if strings.HasPrefix(name, "house.") {
		return name, nil
	}
	return "", fault.New(fault.Invalid, "no such base")
}

func (h *host) Declared(account string) []Model {
	if account != operator {
		return nil
	}
	return []Model{{ARN: VariantARN("r", operator, "house.base", "declared0000"), Account: operator, Name: "declared", ManagedBy: "forebay.yaml:3", Base: "house.base", Status: Active}}
}

func (h *host) InUse(context.Context, *store.Tx, string, string) (string, error) { return h.used, nil }

func (h *host) Changed(context.Context) error { return h.changed() }

func (h *host) Deployed(_ context.Context, arn string) error {
	if h.deployed == nil {
		return nil
	}
	return h.deployed(arn)
}

type direct struct{ s *store.Store }

func (d direct) View(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

func (d direct) Update(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

// bench is a registry with artifacts.
type bench struct {
	*Registry
	t    *testing.T
	host *host
	root string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	b := &bench{t: t, host: &host{changed: func() error { return nil }}, root: t.TempDir()}
	b.Registry = New(Options{
		Store: direct{s}, Objects: &artifact.Objects{Root: b.root}, Models: b.host, Region: "r", Operator: operator, Log: slog.New(slog.DiscardHandler),
	})
	const head = `{"w":{"data_offsets":[0,8]}}`
	tensors := string(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))) + head + "12345678"
	for name, base := range map[string]string{"base": "house.base", "other": "house.other"} {
		b.place("bucket/"+name, map[string]string{"adapter_config.json": `{"peft_type":"LORA","base_model_name_or_path":"` + base + `"}`, "adapter_model.safetensors": tensors})
	}
	b.place("bucket/whole", map[string]string{"config.json": `{"architectures":["LlamaForCausalLM"]}`, "model.safetensors": tensors})
	return b
}

func (b *bench) place(key string, files map[string]string) {
	b.t.Helper()
	dir := filepath.Join(b.root, filepath.FromSlash(key))
	err := os.MkdirAll(dir, 0o700)
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) model(name, key string) string {
	b.t.Helper()
	arn, err := b.CreateModel(b.t.Context(), &resource.Creation{Account: operator}, name, "s3://bucket/"+key)
	if err != nil {
		b.t.Fatal(err)
	}
	return arn
}

func (b *bench) work() {
	b.t.Helper()
	if err := b.step(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wants(what string, err error, kind fault.Kind, text string) {
	b.t.Helper()
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		b.t.Errorf("%s: %v, want %s with %q", what, err, kind, text)
	}
}

// A model is in force before it is called Active; while that fails, it is tried again, and nobody can use it.
func TestActiveMeansInForce(t *testing.T) {
	b := newBench(t)
	arn := b.model("m", "base")
	b.host.changed = func() error { return errors.New("not now") }
	if err := b.step(t.Context()); err == nil {
		t.Error("nothing failed")
	}
	m, err := b.Model(t.Context(), operator, "m")
	if err != nil || m.Status != Creating || !m.Served() {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = b.Deploy(t.Context(), &resource.Creation{Account: operator}, &Deployment{Name: "d", Model: arn})
	b.wants("deploy", err, fault.Invalid, "not Active")
	b.wants("delete", b.DeleteModel(t.Context(), operator, "m"), fault.Conflict, "being created")
	b.host.changed = func() error {
		if m, err := b.Model(t.Context(), operator, arn); err != nil || m.Status != Creating || !m.Served() {
			t.Errorf("while it comes into force: %+v, %v", m, err)
		}
		return nil
	}
	b.work()
	if m, err = b.Model(t.Context(), operator, arn); err != nil || m.Status != Active || m.Base != "house.base" {
		t.Errorf("%+v, %v", m, err)
	}
}

// Run does what is there at the start, and what comes.
func TestRun(t *testing.T) {
	b := newBench(t)
	b.model("before", "base")
	inForce := make(chan struct{}, 2)
	b.host.changed = func() error { inForce <- struct{}{}; return nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	<-inForce
	b.model("meanwhile", "base")
	<-inForce
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDeployments(t *testing.T) {
	b := newBench(t)
	one, two, foreign := b.model("one", "base"), b.model("two", "base"), b.model("foreign", "other")
	b.work()
	deploy := func(name, model string) (string, error) {
		return b.Deploy(t.Context(), &resource.Creation{Account: operator, Operation: "op"}, &Deployment{Name: name, Model: model})
	}
	arn, err := deploy("d", one)
	if err != nil {
		t.Fatal(err)
	}
	update := func(model string) error { _, err := b.UpdateDeployment(t.Context(), operator, "d", model); return err }
	b.wants("update while it is created", update(two), fault.Invalid, "being created")
	b.wants("delete while it is created", b.DeleteDeployment(t.Context(), operator, "d"), fault.Conflict, "being created")
	b.work()
	_, err = deploy("D", two)
	b.wants("a name that is taken", err, fault.Invalid, "in use")
	b.wants("another base", update(foreign), fault.Invalid, "another base")
	b.wants("no model", update(VariantARN("r", operator, "house.base", "none00000000")), fault.NotFound, "")
	_, err = b.Deployment(t.Context(), other, arn)
	b.wants("another account", err, fault.NotFound, "")
	if err := update(two); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"one", "two"} { // both are used while one takes the place of the other
		b.wants(m, b.DeleteModel(t.Context(), operator, m), fault.Conflict, arn)
	}
	b.wants("delete while it is updated", b.DeleteDeployment(t.Context(), operator, arn), fault.Conflict, "updated")
	var d *Deployment
	b.host.deployed = func(string) (err error) { // the change is stored when routes are told of it, and not said to have ended
		if d, err = b.Deployment(t.Context(), operator, arn); err == nil && (d.Model != two || d.Update.Status != Updating) {
			t.Errorf("%+v", d)
		}
		return errors.Join(err, errors.New("routes cannot follow now"))
	}
	if err := b.step(t.Context()); err == nil || d == nil {
		t.Error("the end of the change is said though routes do not follow")
	}
	b.host.deployed = nil
	b.work()
	if d, err = b.Deployment(t.Context(), operator, arn); err != nil || d.Model != two || d.Update.Status != UpdateCompleted || d.Status != Active {
		t.Errorf("%+v, %v", d, err)
	}
	b.host.used = "a purchase"
	b.wants("what is bought for", b.DeleteModel(t.Context(), operator, "one"), fault.Conflict, "a purchase")
	b.wants("what a route has a lane of", b.DeleteDeployment(t.Context(), operator, "d"), fault.Conflict, "a purchase")
	b.host.used = ""
	if err := errors.Join(b.DeleteModel(t.Context(), operator, "one"), b.DeleteDeployment(t.Context(), operator, "d"), b.DeleteModel(t.Context(), operator, two)); err != nil {
		t.Error(err)
	}
	declared := b.host.Declared(operator)[0].ARN
	if _, err := deploy("of-declared", declared); err != nil {
		t.Error(err)
	}
	b.wants("a declared one", b.DeleteModel(t.Context(), operator, "declared"), fault.Conflict, "forebay.yaml:3")
}

// The name of an import is taken from its beginning, and free when it fails; the model is seen when it is done.
func TestImportsTakeNames(t *testing.T) {
	b := newBench(t)
	begin := func(job, model, key string) (string, error) {
		return b.CreateJob(t.Context(), &resource.Creation{Account: operator}, &Import{JobName: job, ModelName: model, Source: "s3://bucket/" + key, ModelTags: []resource.Tag{{Key: "a", Value: "b"}}})
	}
	if _, err := begin("j1", "m", "nothing"); err != nil {
		t.Fatal(err)
	}
	_, err := begin("j2", "m", "whole")
	b.wants("a name that is taken", err, fault.Conflict, "in use")
	_, err = b.Imported(t.Context(), operator, "m")
	b.wants("what is not done", err, fault.NotFound, "")
	b.work()
	j, err := b.Job(t.Context(), operator, "j1")
	if err != nil || j.Status != JobFailed || j.Failure == "" || j.Ended.IsZero() {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := begin("j3", "m", "whole"); err != nil {
		t.Fatal(err)
	}
	b.work()
	m, err := b.Imported(t.Context(), operator, "m")
	if j, err2 := b.Job(t.Context(), operator, "j3"); err != nil || err2 != nil || j.Status != Completed || j.Model != m.ARN || m.JobName != "j3" {
		t.Errorf("%+v %+v, %v", m, j, errors.Join(err, err2))
	}
}

// Files of the machine are the operator's: others could find out by an import what there is.
func TestFilesAreTheOperators(t *testing.T) {
	b := newBench(t)
	file := "file://" + filepath.ToSlash(filepath.Join(b.root, "bucket", "base"))
	if _, err := b.CreateModel(t.Context(), &resource.Creation{Account: operator}, "m", file); err != nil {
		t.Error(err)
	}
	_, err := b.CreateModel(t.Context(), &resource.Creation{Account: other}, "m", file)
	b.wants("a variant", err, fault.Denied, "the operator's")
	_, err = b.CreateJob(t.Context(), &resource.Creation{Account: other}, &Import{JobName: "j", ModelName: "m", Source: "/etc"})
	b.wants("an import", err, fault.Denied, "the operator's")
}

// Lists have what was made and what is declared, by every filter.
func TestModelLists(t *testing.T) {
	b := newBench(t)
	for i, key := range []string{"base", "other", "base"} {
		b.model(fmt.Sprint("m", i), key)
	}
	b.work()
	for want, f := range map[string]ModelFilter{
		"[declared m0 m1 m2]": {},
		"[m1]":                {Base: "house.other"},
		"[declared m0 m2]":    {Base: "house.base", Status: Active},
		"[]":                  {Status: Failed},
		"[m2]":                {Filter: resource.Filter{NameContains: "M2"}},
		"[m2 m1 m0 declared]": {Filter: resource.Filter{Descending: true}},
		"[m0 m1 m2]":          {Filter: resource.Filter{After: time.Unix(0, 0)}},
	} {
		list, _, err := b.ModelList(t.Context(), operator, &f)
		names := []string{}
		for _, m := range list {
			names = append(names, m.Name)
		}
		if got := fmt.Sprint(names); err != nil || got != want {
			t.Errorf("%+v: %s, %v; want %s", f, got, err, want)
		}
	}
	if list, _, err := b.ModelList(t.Context(), other, &ModelFilter{}); err != nil || len(list) != 0 {
		t.Errorf("another account sees %v, %v", list, err)
	}
}
