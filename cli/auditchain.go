// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/auditchain"
)

// auditLog is the log of one organization, or of the installation.
type auditLog struct {
	client *api.Client
	org    string // "": the installation
}

func (a *app) auditLog(installation bool) (auditLog, error) {
	if installation {
		client, err := a.client()
		return auditLog{client, ""}, err
	}
	client, org, err := a.tenant()
	return auditLog{client, org}, err
}

func (l auditLog) list(ctx context.Context, filter api.ListAuditEventsParams) (object[api.AuditEventList], error) {
	if l.org == "" {
		of := api.ListInstallationAuditEventsParams(filter)
		return answer[api.AuditEventList](l.client.ListInstallationAuditEvents(ctx, &of))
	}
	return answer[api.AuditEventList](l.client.ListAuditEvents(ctx, l.org, &filter))
}

func (l auditLog) verify(ctx context.Context) (object[api.AuditVerification], error) {
	if l.org == "" {
		return answer[api.AuditVerification](l.client.VerifyInstallationAuditChain(ctx))
	}
	return answer[api.AuditVerification](l.client.VerifyAuditChain(ctx, l.org))
}

// chainPlace is where to begin: behind an event, or a number of events before the end.
type chainPlace struct {
	after uint64
	last  *int
}

// chainEvent is what a line of a chain says.
type chainEvent struct {
	Seq   uint64         `json:"seq"`
	Event api.AuditEvent `json:"event"`
}

// follow gives yield each line of the chain, with its line break, to the end, or, if it is to wait, until ctx ends.
func (l auditLog) follow(ctx context.Context, from chainPlace, wait bool, yield func(raw []byte, e chainEvent) error) error {
	params := api.ReadAuditChainParams{Last: from.last}
	if from.last == nil {
		params.After = &from.after
	}
	for {
		raw, err := l.chain(ctx, params)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(raw) {
			var e chainEvent
			if err := json.Unmarshal(line, &e); err != nil || e.Seq == 0 {
				return failed(Failure, "", errors.New("decoding the answer: it is not what this release understands"))
			}
			if err := yield(line, e); err != nil {
				return err
			}
			params.After, params.Last = &e.Seq, nil
		}
		if len(raw) == 0 && !wait {
			return nil
		}
		if wait {
			if params.Last != nil { // the chain is empty
				params.After, params.Last = new(uint64), nil
			}
			seconds := 10
			params.Wait = &seconds
		}
	}
}

func (l auditLog) chain(ctx context.Context, params api.ReadAuditChainParams) ([]byte, error) {
	var resp *http.Response
	var err error
	if l.org == "" {
		of := api.ReadInstallationAuditChainParams(params)
		resp, err = l.client.ReadInstallationAuditChain(ctx, &of)
	} else {
		resp, err = l.client.ReadAuditChain(ctx, l.org, &params)
	}
	return answerLines(resp, err)
}

// eventLine is an event on one line for people.
func eventLine(e api.AuditEvent) string {
	columns := []string{output.Time(e.Time), e.Actor, e.Action, string(e.Outcome), output.Text(e.ResourceName)}
	if e.Workload != nil {
		columns = append(columns, e.Workload.Namespace+"/"+e.Workload.Pod)
	}
	if e.Reason != nil {
		columns = append(columns, *e.Reason)
	}
	return output.Printable(strings.Join(columns, "  "))
}

func verifyEvents(a *app) *cobra.Command {
	var (
		files        []string
		expect       string
		installation bool
	)
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that no audit event was edited, dropped or reordered", Args: arguments,
		Long: `Check that no audit event was edited, dropped or reordered: in the registry's store, or offline in files, which audit export printed or the registry wrote with
--audit-file. Files are read in the order of their events.

It prints where the chain ends. Note that elsewhere, and give it to --expect the next time: hashes hold no key, and a chain that was made anew as a whole is told by not
leading to what was noted. The exit code is 8 if something is wrong.`,
		Example: `  lanyard audit verify --org acme
  lanyard audit verify --file audit-00000000000000004711.ndjson --file audit.ndjson --expect 4000:9f2c…`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var noted auditchain.Position
			var err error
			if expect != "" {
				if noted, err = auditchain.ParsePosition(expect); err != nil {
					return misuse("", "--expect: %w", err)
				}
			}
			if len(files) > 0 {
				return verifyFiles(a, files, noted)
			}
			return verifyStore(cmd.Context(), a, installation, noted)
		},
	}
	cmd.Flags().StringArrayVar(&files, "file", nil, "a `file` of the chain, - for standard input, instead of the registry's store; repeatable")
	cmd.Flags().StringVar(&expect, "expect", "", "a `position` printed before, <number>:<hash>, that the chain must lead through")
	installationFlag(cmd, &installation)
	return cmd
}

// verifyStore lets the registry check its records, which only it can, and checks the lines itself if a position was noted.
func verifyStore(ctx context.Context, a *app, installation bool, noted auditchain.Position) error {
	log, err := a.auditLog(installation)
	if err != nil {
		return err
	}
	found, err := log.verify(ctx)
	if err != nil {
		return err
	}
	if !found.body.Ok {
		return failed(ChainBroken, "compare with the file or the stream the registry ships; what is wrong there stays as it is", errors.New(output.Printable(output.Text(found.body.Problem))))
	}
	if noted.Seq > 0 {
		v := auditchain.Verifier{Expect: noted}
		if err := log.follow(ctx, chainPlace{after: noted.Seq - 1}, false, func(raw []byte, _ chainEvent) error { v.Add(raw); return nil }); err != nil {
			return err
		}
		if r := v.Report(); !r.OK() {
			return a.broken(r)
		}
	}
	fmt.Fprintf(a.Out, "ok: %d events, the newest is %s\n", found.body.Events, output.Printable(found.body.End))
	return nil
}

func verifyFiles(a *app, names []string, noted auditchain.Position) error {
	type part struct {
		name  string
		lines *bufio.Reader
		first uint64
	}
	var parts []part
	for _, name := range names {
		in, err := a.chainFile(name)
		if err != nil {
			return err
		}
		defer in.Close()
		lines := bufio.NewReaderSize(in, 64<<10)
		first, _ := lines.Peek(1024) // sequence numbers come before the event
		parts = append(parts, part{name, lines, firstSeq(first)})
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.first, b.first) })
	v := auditchain.Verifier{Expect: noted}
	for _, p := range parts {
		if err := v.Read(p.name, p.lines); err != nil {
			return failed(Failure, "", err)
		}
	}
	r := v.Report()
	if !r.OK() {
		return a.broken(r)
	}
	fmt.Fprintf(a.Out, "ok: %d events from %d on, the newest is %s\n", r.Events, r.First, r.End)
	return nil
}

// chainFile opens a file of a chain, or standard input.
func (a *app) chainFile(name string) (io.ReadCloser, error) {
	if name == "-" {
		if a.stdinTaken != "" {
			return nil, misuse("", "standard input can be read once, and %s reads it", a.stdinTaken)
		}
		a.stdinTaken = "--file"
		return io.NopCloser(a.In), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, failed(Usage, "", err)
	}
	return f, nil
}

// firstSeq finds the sequence number in the beginning of a line. It is 0 if there is none, which the verifier will tell.
func firstSeq(line []byte) (seq uint64) {
	_, rest, _ := bytes.Cut(line, []byte(`,"seq":`))
	for _, c := range rest {
		if c < '0' || c > '9' {
			return seq
		}
		seq = seq*10 + uint64(c-'0')
	}
	return 0
}

// broken prints what is wrong with a chain, and is the error for it.
func (a *app) broken(r auditchain.Report) error {
	for _, p := range r.Problems {
		fmt.Fprintln(a.Err, output.Printable(p.String()))
	}
	return failed(ChainBroken, "", fmt.Errorf("the audit chain is broken in %d places", cmp.Or(len(r.Problems)+r.More, 1)))
}
