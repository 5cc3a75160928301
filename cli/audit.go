// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newAudit(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "audit", Short: "Read, follow, export and verify the audit log"}, listEvents(a), tailEvents(a), exportEvents(a), verifyEvents(a))
}

func listEvents(a *app) *cobra.Command {
	var (
		filter       api.ListAuditEventsParams
		action       string
		actor        string
		resource     string
		request      string
		outcome      string
		since, until string
		limit        int
		installation bool
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List audit events, newest first", Args: arguments,
		Long: "List audit events, newest first, from the window the registry keeps. What pods received is in -o json, below workload.released.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if filter.Since, err = moment("since", since); err != nil {
				return err
			}
			if filter.Until, err = moment("until", until); err != nil {
				return err
			}
			filter.Action, filter.Actor, filter.Resource, filter.RequestID = nonzero(action), nonzero(actor), nonzero(resource), nonzero(request)
			if outcome != "" {
				o := api.AuditOutcome(outcome)
				filter.Outcome = &o
			}
			log, err := a.auditLog(installation)
			if err != nil {
				return err
			}
			items, err := pages(limit, func(size *int, token *string) ([]api.AuditEvent, *string, error) {
				filter.PageSize, filter.PageToken = size, token
				o, err := log.list(cmd.Context(), filter)
				return o.body.Items, o.body.NextPageToken, err
			})
			if err != nil {
				return err
			}
			return showList(a, auditView, items)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&action, "action", "", "only events of this `action`, such as workload.resolve")
	flags.StringVar(&actor, "actor", "", "only what this `principal` did, such as token:bootstrap")
	flags.StringVar(&resource, "resource", "", "only events about the object of this `id`")
	flags.StringVar(&outcome, "outcome", "", "only events that were `allowed` or denied")
	flags.StringVar(&request, "request", "", "only events of the request with this `id`")
	flags.StringVar(&since, "since", "", "only events after this `time`, such as 2026-11-30T08:00:00Z, or of the last 15m")
	flags.StringVar(&until, "until", "", "only events before this `time`, or older than that")
	flags.IntVar(&limit, "limit", 100, "print at most this `number`; 0 for all")
	installationFlag(cmd, &installation)
	return cmd
}

func installationFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "installation", false, "the installation's events, which belong to no organization, instead of an organization's")
}

// moment reads a time, or how long ago it was.
func moment(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		t := time.Now().Add(-ago).UTC()
		return &t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, misuse("", "--%s: neither a time such as 2026-11-30T08:00:00Z nor a duration such as 15m", flag)
	}
	return &t, nil
}

func exportEvents(a *app) *cobra.Command {
	var (
		after        uint64
		installation bool
	)
	cmd := &cobra.Command{
		Use: "export", Short: "Print the chain of audit events as lines of JSON", Args: arguments,
		Long: `Print the chain of audit events as lines of JSON, oldest first, as far as the registry keeps it. audit verify --file reads them.`,
		Example: `  lanyard audit export --org acme > acme-audit.ndjson
  lanyard audit verify --file acme-audit.ndjson`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := a.auditLog(installation)
			if err != nil {
				return err
			}
			return log.follow(cmd.Context(), chainPlace{after: after}, false, func(raw []byte, _ chainEvent) error {
				_, err := a.Out.Write(raw)
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&after, "after", 0, "begin behind the event of this `number`")
	installationFlag(cmd, &installation)
	return cmd
}

func tailEvents(a *app) *cobra.Command {
	var (
		last         int
		installation bool
	)
	cmd := &cobra.Command{
		Use: "tail", Short: "Print audit events as they happen", Args: arguments,
		Long: "Print audit events as they happen, oldest first, until Ctrl-C. With -o json each line is an event as audit export prints it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			format := cmp.Or(a.flags.output, "table")
			if format != "table" && format != "json" {
				return misuse("", "--output: tail prints table or json")
			}
			log, err := a.auditLog(installation)
			if err != nil {
				return err
			}
			begin, skip := max(1, last), last == 0 // the newest event tells where to begin, also if it is not printed
			return log.follow(cmd.Context(), chainPlace{last: &begin}, true, func(raw []byte, e chainEvent) error {
				if skip {
					skip = false
					return nil
				}
				if format == "json" {
					_, err := a.Out.Write(raw)
					return err
				}
				_, err := fmt.Fprintln(a.Out, eventLine(e.Event))
				return err
			})
		},
	}
	cmd.Flags().IntVar(&last, "last", 10, "begin with this `number` of events that happened already, at most 1000")
	installationFlag(cmd, &installation)
	return cmd
}
