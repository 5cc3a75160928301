// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"flag"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/audit/chainfile"
)

// AuditFile says where audit events are kept besides etcd and standard output.
type AuditFile struct {
	Path string // empty: in no file
	// MaxBytes is the size above which a new file is begun; Keep is how many full ones stay, 0 all.
	MaxBytes int64
	Keep     int
}

func (a *AuditFile) flags(flags *flag.FlagSet) {
	flags.StringVar(&a.Path, "audit-file", "", "`file` to keep every audit event in, as a chain of lines on the disk before anything happens")
	a.MaxBytes = 64 << 20
	flags.Func("audit-file-max-size", "`size` above which the audit file is put aside and a new one begun (default 64Mi)", func(text string) error {
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return errors.New("not a size such as 64Mi")
		}
		a.MaxBytes = q.Value()
		return nil
	})
	flags.IntVar(&a.Keep, "audit-file-keep", 0, "`number` of full audit files that stay; 0: all, until the disk is full and nothing happens any more")
}

func (a *AuditFile) validate() error {
	switch {
	case a.Path == "":
		return nil
	case a.MaxBytes != 0 && a.MaxBytes < 1<<20:
		return errors.New("-audit-file-max-size: below 1Mi every batch would have a file of its own")
	case a.Keep < 0:
		return errors.New("-audit-file-keep: a negative number of files cannot be kept")
	}
	return nil
}

// openAudit opens the sinks and makes the log that writes to them. The log may be used before the store is open, whose events come later.
func (r *server) openAudit(ctx context.Context) (closeFile func(), err error) {
	var sinks []audit.Sink
	closeFile = func() {}
	if r.config.AuditOut != nil {
		sinks = append(sinks, audit.Lines("stdout", r.config.AuditOut))
	}
	if a := r.config.Audit; a.Path != "" {
		file, err := await(ctx, r, "opening the audit file", func(context.Context) (*chainfile.File, error) {
			return chainfile.Open(chainfile.Config{Path: a.Path, MaxBytes: a.MaxBytes, Keep: a.Keep, Log: r.log})
		})
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, file)
		closeFile = func() {
			if err := file.Close(); err != nil {
				r.log.Warn("audit file not closed cleanly", "err", err)
			}
		}
	}
	etcd := audit.Func("etcd", func(ctx context.Context, events []audit.Event) error { return r.store.AppendAudit(ctx, events) })
	r.audit, err = audit.New(audit.Config{Sinks: sinks, Store: etcd, Logger: r.log, Registerer: r.metrics})
	return closeFile, err
}
