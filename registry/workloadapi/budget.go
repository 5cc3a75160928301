// SPDX-License-Identifier: Apache-2.0

package workloadapi

import (
	"sync"
	"time"
)

const (
	budgetPeriod = time.Hour
	// maxBudgets bounds the memory to about 8 MiB. Pods beyond so many within an hour are not counted: the budget limits what a stolen token is good for, it
	// is no condition of a release.
	maxBudgets = 100_000
)

// budget counts what each pod received in the current period.
type budget struct {
	limit int

	mu    sync.Mutex
	from  time.Time
	spent map[string]int // :: pod uid → releases
}

func newBudget(limit int) *budget { return &budget{limit: limit} }

// take counts one release, or returns false if there is none left.
func (b *budget) take(pod string) bool {
	if b.limit < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.spent == nil || now.Sub(b.from) >= budgetPeriod {
		b.from, b.spent = now, make(map[string]int)
	}
	n, known := b.spent[pod]
	if n >= b.limit {
		return false
	}
	if known || len(b.spent) < maxBudgets {
		b.spent[pod] = n + 1
	}
	return true
}

// giveBack undoes a take that led to no release.
func (b *budget) giveBack(pod string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch n := b.spent[pod]; {
	case n > 1:
		b.spent[pod] = n - 1
	case n == 1:
		delete(b.spent, pod)
	}
}
