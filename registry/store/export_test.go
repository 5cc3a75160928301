// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// TrimAudit does at once what Run does every minute.
func (s *Store) TrimAudit(ctx context.Context) { s.trimAudit(ctx) }

// Contact is when the watch last said something.
func (s *Store) Contact() int64 { return s.contact.Load() }
