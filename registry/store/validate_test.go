// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// check compares an error with "pointer code", or "" for none.
func check(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	var field *FieldError
	if errors.As(err, &field) {
		got = field.Pointer + " " + field.Code
		if !errors.Is(err, ErrInvalid) || field.Message == "" {
			t.Errorf("%v is no ErrInvalid or says nothing", err)
		}
	} else if err != nil {
		t.Fatalf("%v is no FieldError", err)
	}
	if got != want {
		t.Errorf("got %q, want %q (%v)", got, want, err)
	}
}

func TestSecretsAreCheckedBeforeTheyAreWritten(t *testing.T) {
	value := func(b string) *redact.Value { v := redact.New([]byte(b)); return &v }
	remote := &Remote{ProviderID: "vault", Path: "kv/data/x"}
	many := make(map[string]string)
	for i := range MaxLabels + 1 {
		many[fmt.Sprint("k", i)] = ""
	}
	grant := Binding{"prod", "billing", "api"}
	crowd := make([]Binding, MaxGrants+1)
	for i := range crowd {
		crowd[i] = Binding{"prod", "billing", fmt.Sprint("a", i)}
	}
	long := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		n    NewSecret
		want string
	}{
		"a name is enough":                  {NewSecret{Name: "a"}, ""},
		"a value makes it local":            {NewSecret{Name: "a", Value: value("")}, ""},
		"a reference makes it remote":       {NewSecret{Name: "a", Remote: remote}, ""},
		"any bytes are a value":             {NewSecret{Name: "a", Value: value("\x00\xff\r\n'")}, ""},
		"the largest value":                 {NewSecret{Name: "a", Value: value(strings.Repeat("x", wire.MaxValueBytes))}, ""},
		"one byte more":                     {NewSecret{Name: "a", Value: value(strings.Repeat("x", wire.MaxValueBytes+1))}, "/value too_long"},
		"no name":                           {NewSecret{}, "/name required"},
		"a name with a space":               {NewSecret{Name: "a b"}, "/name syntax"},
		"a name with a slash":               {NewSecret{Name: "a/b"}, "/name syntax"},
		"a name too long":                   {NewSecret{Name: strings.Repeat("a", 129)}, "/name too_long"},
		"a name like an id":                 {NewSecret{Name: newID()}, "/name syntax"},
		"a description too long":            {NewSecret{Name: "a", Description: strings.Repeat("x", MaxDescription+1)}, "/description too_long"},
		"a description of other bytes":      {NewSecret{Name: "a", Description: "\xff"}, "/description encoding"},
		"too many labels":                   {NewSecret{Name: "a", Labels: many}, "/labels too_many"},
		"labels as Kubernetes writes them":  {NewSecret{Name: "a", Labels: map[string]string{"app.kubernetes.io/name": "x y"}}, ""},
		"a label without key":               {NewSecret{Name: "a", Labels: map[string]string{"": "x"}}, "/labels required"},
		"a label's key of other characters": {NewSecret{Name: "a", Labels: map[string]string{"a=b": "x"}}, "/labels syntax"},
		"a label's key that ends in a dot":  {NewSecret{Name: "a", Labels: map[string]string{"a.": "x"}}, "/labels syntax"},
		"a label's value of two lines":      {NewSecret{Name: "a", Labels: map[string]string{"a/b": "x\ny"}}, "/labels/a~1b syntax"},
		"another storage":                   {NewSecret{Name: "a", Storage: "cloud"}, "/storage unknown"},
		"local with a reference":            {NewSecret{Name: "a", Storage: StorageLocal, Remote: remote}, "/provider_id forbidden"},
		"remote without one":                {NewSecret{Name: "a", Storage: StorageRemote}, "/provider_id required"},
		"remote without provider":           {NewSecret{Name: "a", Remote: &Remote{Path: "x"}}, "/provider_id required"},
		"remote without path":               {NewSecret{Name: "a", Remote: &Remote{ProviderID: "x"}}, "/remote_path required"},
		"remote with a path of two lines":   {NewSecret{Name: "a", Remote: &Remote{ProviderID: "x", Path: "a\nb"}}, "/remote_path syntax"},
		"remote with a value":               {NewSecret{Name: "a", Remote: remote, Value: value("x")}, "/value forbidden"},
		"a grant":                           {NewSecret{Name: "a", Grants: []Binding{grant}}, ""},
		"the most grants":                   {NewSecret{Name: "a", Grants: crowd[1:]}, ""},
		"one grant more":                    {NewSecret{Name: "a", Grants: crowd}, "/grants too_many"},
		"a grant twice":                     {NewSecret{Name: "a", Grants: []Binding{grant, grant}}, "/grants/1 duplicate"},
		"a grant to any account":            {NewSecret{Name: "a", Grants: []Binding{{"prod", "billing", "*"}}}, "/grants/0/service_account syntax"},
		"a grant to no namespace":           {NewSecret{Name: "a", Grants: []Binding{{"prod", "", "api"}}}, "/grants/0/namespace syntax"},
		"an expiry beyond time":             {NewSecret{Name: "a", ExpiresAt: &long}, "/expires_at syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.n.Storage = tc.n.storage()
			check(t, checkNewSecret(tc.n), tc.want)
		})
	}
}

func TestConsumersAreCheckedBeforeTheyAreWritten(t *testing.T) {
	text := func(s string) *string { return &s }
	plain := func(name string) Env { return Env{Name: name, Value: text("v")} }
	var many []Env
	for i := range wire.MaxEnvs + 1 {
		many = append(many, plain(fmt.Sprint("E", i)))
	}
	var heavy []Env
	for i := range 17 {
		heavy = append(heavy, Env{Name: fmt.Sprint("E", i), Value: text(strings.Repeat("x", MaxPlainValue))})
	}
	ok := Binding{"prod", "billing", "api.v1"}
	for name, tc := range map[string]struct {
		edit func(*Consumer)
		want string
	}{
		"nothing but name and kind":  {func(c *Consumer) {}, ""},
		"no kind":                    {func(c *Consumer) { c.Kind = "" }, "/kind unknown"},
		"an empty plain value":       {func(c *Consumer) { c.Envs = []Env{{Name: "A", Value: text("")}} }, ""},
		"the most ENVs":              {func(c *Consumer) { c.Envs = many[:wire.MaxEnvs] }, ""},
		"one more":                   {func(c *Consumer) { c.Envs = many }, "/envs too_many"},
		"too much plain text":        {func(c *Consumer) { c.Envs = heavy }, "/envs/16/value too_long"},
		"an ENV twice":               {func(c *Consumer) { c.Envs = []Env{plain("A"), plain("B"), plain("A")} }, "/envs/2/name duplicate"},
		"ENVs that differ in case":   {func(c *Consumer) { c.Envs = []Env{plain("A"), plain("a")} }, ""},
		"a reserved ENV":             {func(c *Consumer) { c.Envs = []Env{plain("A"), plain("LD_PRELOAD")} }, "/envs/1/name reserved"},
		"an ENV with a dash":         {func(c *Consumer) { c.Envs = []Env{plain("A-B")} }, "/envs/0/name syntax"},
		"an ENV without name":        {func(c *Consumer) { c.Envs = []Env{plain("")} }, "/envs/0/name required"},
		"an ENV with a long name":    {func(c *Consumer) { c.Envs = []Env{plain(strings.Repeat("A", 129))} }, "/envs/0/name too_long"},
		"neither value nor secret":   {func(c *Consumer) { c.Envs = []Env{{Name: "A"}} }, "/envs/0/value required"},
		"value and secret":           {func(c *Consumer) { c.Envs = []Env{{Name: "A", Value: text(""), SecretID: "x"}} }, "/envs/0/value forbidden"},
		"a version of a plain value": {func(c *Consumer) { c.Envs = []Env{{Name: "A", Value: text(""), Version: 1}} }, "/envs/0/version forbidden"},
		"plain bytes":                {func(c *Consumer) { c.Envs = []Env{{Name: "A", Value: text("\xff")}} }, "/envs/0/value encoding"},
		"a binding":                  {func(c *Consumer) { c.Bindings = []Binding{ok} }, ""},
		"a binding twice":            {func(c *Consumer) { c.Bindings = []Binding{ok, ok} }, "/bindings/1 duplicate"},
		"a binding of any namespace": {func(c *Consumer) { c.Bindings = []Binding{{"prod", "*", "api"}} }, "/bindings/0/namespace syntax"},
		"a binding of no cluster":    {func(c *Consumer) { c.Bindings = []Binding{{"", "a", "api"}} }, "/bindings/0/cluster syntax"},
		"a binding of no account":    {func(c *Consumer) { c.Bindings = []Binding{{"a", "a", ""}} }, "/bindings/0/service_account syntax"},
		"a binding in capitals":      {func(c *Consumer) { c.Bindings = []Binding{{"a", "a", "API"}} }, "/bindings/0/service_account syntax"},
		"deliveries":                 {func(c *Consumer) { c.Deliveries = []wire.Delivery{"file", "exec"} }, ""},
		"a delivery twice":           {func(c *Consumer) { c.Deliveries = []wire.Delivery{"file", "file"} }, "/deliveries/1 duplicate"},
		"a delivery that is none":    {func(c *Consumer) { c.Deliveries = []wire.Delivery{"exec", "auto"} }, "/deliveries/1 unknown"},
		"a namespace with a dot":     {func(c *Consumer) { c.Bindings = []Binding{{"a", "a.b", "api"}} }, "/bindings/0/namespace syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Consumer{Name: "api", Kind: ConsumerService}
			tc.edit(&c)
			check(t, checkConsumer(c), tc.want)
		})
	}
}

func FuzzKeysParseToWhatTheyWereBuiltFrom(f *testing.F) {
	f.Add("org", "id", uint64(7))
	f.Fuzz(func(t *testing.T, org, id string, number uint64) {
		if strings.Contains(org, "/") || strings.Contains(id, "/") {
			t.Skip("ids and names have no slash")
		}
		k := keyspace(DefaultPrefix)
		for key, want := range map[string]address{
			k.org(org):                 {kindOrganization, org, org, 0},
			k.slug(id):                 {kindSlug, "", id, 0},
			k.secret(org, id):          {kindSecret, org, id, 0},
			k.secretName(org, id):      {kindSecretName, org, id, 0},
			k.consumer(org, id):        {kindConsumer, org, id, 0},
			k.consumerName(org, id):    {kindConsumerName, org, id, 0},
			k.version(org, id, number): {kindVersion, org, id, number},
			k.keyCheck(id):             {kindKeyCheck, "", id, 0},
			k.tip():                    {kind: kindTip},
			k.schema():                 {kind: kindSchema},
		} {
			if got, ok := k.parse(key); !ok || got != want {
				t.Errorf("%q is %+v, %t, want %+v", key, got, ok, want)
			}
			if from, to := k.watched(); key < from || key >= to {
				t.Errorf("%q is not watched", key)
			}
		}
		from, _ := k.watched()
		for _, key := range []string{k.auditHead(org), k.auditEvents(org, number)} {
			if key >= from {
				t.Errorf("%q is watched", key)
			}
		}
	})
}
