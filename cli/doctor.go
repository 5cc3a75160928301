// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

// finding is the outcome of one check of the doctor's.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warning, failed or skipped
	Detail string `json:"detail"`
}

var findingView = output.View[finding]{
	Kind: "check", Name: func(f finding) string { return f.Check },
	Columns: []output.Column[finding]{
		{Header: "CHECK", Cell: func(f finding) string { return f.Check }},
		{Header: "RESULT", Cell: func(f finding) string { return f.Result }},
		{Header: "DETAIL", Cell: func(f finding) string { return f.Detail }},
	},
}

const (
	// maxSkew is where tokens with short lives begin to be refused by one side or the other.
	maxSkew = 30 * time.Second
	// soon is when an expiring certificate is worth a word.
	soon = 14 * 24 * time.Hour
)

func newDoctor(a *app) *cobra.Command {
	var (
		inside bool
		k      kubectl
	)
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong between here and the registry, or in the cluster", Args: arguments, PreRunE: a.checkOutput,
		Long: `Look for what is wrong between here and the registry: its address, TLS and certificate, the clocks, the token, whether the registry can read its
store, for administrators what the bootstrap token is good for and what is left of deleted organizations, and which secret providers of the organization fail.

With --cluster, look at the installation in a Kubernetes cluster instead: the webhook with its authority, the guard policy and its binding, the replicas of injector and registry, what the nodes can deliver,
and the rights of the service accounts. It is asked with your kubectl and your rights; what you may not see is skipped. No Secret is read.

It changes nothing. The exit code is that of the first check that failed.`,
		Example: `  lanyard doctor
  lanyard doctor --cluster --kube-context production`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if k.context != "" && !inside {
				return misuse("", "--kube-context is about --cluster")
			}
			examine := a.examine
			if inside {
				examine = k.examine
			}
			findings, err := examine(cmd.Context())
			return showDone(a, findingView, findings, err)
		},
	}
	cmd.Flags().BoolVar(&inside, "cluster", false, "look at the installation in the cluster, with kubectl")
	cmd.Flags().StringVar(&k.context, "kube-context", "", "`name` of kubectl's context; its current one otherwise")
	return cmd
}

// examine makes one check after the other; those after a failure that they depend on are skipped. The error is that of the first failure.
func (a *app) examine(ctx context.Context) (findings []finding, err error) {
	add := func(check, result, format string, args ...any) {
		findings = append(findings, finding{check, result, fmt.Sprintf(format, args...)})
	}
	skip := func(checks ...string) {
		for _, check := range checks {
			add(check, "skipped", "")
		}
	}
	e, err := a.endpoint()
	if err == nil {
		err = checkServer(e.server)
	}
	if err != nil {
		add("configuration", "failed", "%s", err)
		skip("connection", "certificate", "clock", "token", "store", "providers")
		return findings, err
	}
	add("configuration", "ok", "the registry is at %s", e.server)

	resp, took, err := ping(ctx, e)
	if err != nil {
		add("connection", "failed", "%s", err)
		skip("certificate", "clock", "token", "store", "providers")
		return findings, err
	}
	add("connection", "ok", "the API answers in %s", took.Round(time.Millisecond))
	result, detail := judgeCertificate(resp.TLS, time.Now())
	add("certificate", result, "%s", detail)
	result, detail = judgeClock(resp.Header.Get("Date"), took, time.Now())
	add("clock", result, "%s", detail)

	if len(e.token.Reveal()) == 0 {
		err := failed(Denied, "`lanyard login`, --token-file or LANYARD_TOKEN", errors.New("there is no token for this registry"))
		add("token", "failed", "%s", err)
		skip("store", "providers")
		return findings, err
	}
	client, err := e.client()
	if err != nil {
		return findings, err
	}
	me, err := answer[api.Me](client.GetMe(ctx))
	if err != nil {
		add("token", "failed", "%s", err)
		skip("store", "providers")
		return findings, err
	}
	add("token", "ok", "it is that of %s", me.body.Principal)
	one := 1
	if _, err := answer[api.OrganizationList](client.ListOrganizations(ctx, &api.ListOrganizationsParams{PageSize: &one})); err != nil {
		add("store", "failed", "%s", err)
		skip("providers")
		return findings, err
	}
	add("store", "ok", "the registry reads it")
	if me.body.Admin {
		err = examineBootstrap(ctx, client, add)
		if failing := examineDeletions(ctx, client, add); err == nil {
			err = failing
		}
	}
	if failing := a.examineProviders(ctx, client, add); err == nil {
		err = failing
	}
	return findings, err
}

// examineDeletions tells which deleted organizations are not gone yet. One that was deleted a moment ago is as it should be.
func examineDeletions(ctx context.Context, client *api.Client, add func(check, result, format string, args ...any)) error {
	o, err := answer[api.DeletionList](client.ListDeletions(ctx))
	switch {
	case codeOf(err) == NotFound: // a registry that does not tell
		add("deletions", "skipped", "")
		return nil
	case err != nil:
		add("deletions", "failed", "%s", err)
		return err
	}
	var waiting []string
	for _, d := range o.body.Items {
		if time.Since(d.DeletedAt) > maxSkew {
			waiting = append(waiting, fmt.Sprintf("%s (deleted at %s, %d leases not revoked; abandoned at %s)", d.Slug, output.Time(d.DeletedAt), d.Leases, output.Time(d.Until)))
		}
	}
	if len(waiting) > 0 {
		add("deletions", "warning", "not gone yet, because a secret provider of theirs does not answer: %s", strings.Join(waiting, ", "))
		return nil
	}
	add("deletions", "ok", "nothing is left of deleted organizations")
	return nil
}

// examineProviders tells which providers of the organization fail, as the registry found in the background. That is no failure of the doctor's: the way to the registry is well.
func (a *app) examineProviders(ctx context.Context, client *api.Client, add func(check, result, format string, args ...any)) error {
	_, org, err := a.tenant()
	if err != nil {
		add("providers", "skipped", "it is not known which organization is meant")
		return nil //nolint:nilerr // not knowing the organization is a finding, no failure
	}
	items, err := pages(0, func(size *int, token *string) ([]api.Provider, *string, error) {
		o, err := answer[api.ProviderList](client.ListProviders(ctx, org, &api.ListProvidersParams{PageSize: size, PageToken: token}))
		return o.body.Items, o.body.NextPageToken, err
	})
	switch {
	case codeOf(err) == NotFound:
		add("providers", "skipped", "there is no organization %s, or the token is not of it", org)
		return nil
	case err != nil:
		add("providers", "failed", "%s", err)
		return err
	}
	var failing []string
	unknown := 0
	for _, p := range items {
		switch p.Health.Status {
		case api.ProviderHealthStatusFailing:
			failing = append(failing, p.Name+" ("+strings.TrimPrefix(healthText(p.Health), "failing ")+")")
		case api.ProviderHealthStatusUnknown:
			unknown++
		}
	}
	switch {
	case len(failing) > 0:
		add("providers", "warning", "failing: %s", strings.Join(failing, ", "))
	case unknown > 0:
		add("providers", "ok", "%d, of which %d were not asked yet", len(items), unknown)
	default:
		add("providers", "ok", "%d, all healthy", len(items))
	}
	return nil
}

// ping asks for what needs no token, and is sent none.
func ping(ctx context.Context, e endpoint) (*http.Response, time.Duration, error) {
	bare := endpoint{server: e.server, caFile: e.caFile, serverName: e.serverName, timeout: e.timeout}
	client, err := bare.http()
	if err != nil {
		return nil, 0, err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(e.server, "/")+"/openapi.yaml", nil)
	if err != nil {
		return nil, 0, fmt.Errorf("asking the registry: %w", err)
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, unreachable(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/yaml") {
		return nil, 0, failed(Failure, "check --server: the API's address and port, and what stands in front of it", fmt.Errorf("what answered is not a Lanyard registry (status %d)", resp.StatusCode))
	}
	return resp, time.Since(began), nil
}

func judgeCertificate(state *tls.ConnectionState, now time.Time) (result, detail string) {
	if state == nil {
		return "warning", "plain HTTP, which is for a registry on this machine"
	}
	leaf := state.PeerCertificates[0]
	if left := leaf.NotAfter.Sub(now); left < soon {
		return "warning", fmt.Sprintf("verified (%s), but it expires at %s", tls.VersionName(state.Version), output.Time(leaf.NotAfter))
	}
	return "ok", fmt.Sprintf("verified (%s), valid until %s", tls.VersionName(state.Version), output.Time(leaf.NotAfter))
}

// judgeClock compares the answer's Date, which has whole seconds and was written some time within took, with now.
func judgeClock(date string, took time.Duration, now time.Time) (result, detail string) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return "warning", "the registry does not tell its time"
	}
	skew := now.Sub(theirs) - took/2
	if skew.Abs() > maxSkew+took {
		return "warning", fmt.Sprintf("this machine and the registry differ by %s", skew.Round(time.Second))
	}
	return "ok", fmt.Sprintf("this machine and the registry agree to within %s", maxSkew)
}
