// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Sort is an order of a list of secrets. Secrets without the time a list is sorted by come last.
type Sort string

// The orders.
const (
	SortName     Sort = "name"
	SortNameDown Sort = "-name"
	SortUpdated  Sort = "updated_at"
	SortNewest   Sort = "-updated_at" // newest first
	SortExpires  Sort = "expires_at"
)

// place is where a secret stands in a sorted list. Changing a secret may move it, so a list remembers the revision it began at: what was changed since comes at
// the end. So a secret that exists throughout is never skipped; one that was changed meanwhile may come twice.
type place struct {
	Begun   int64  `json:"r"` // revision at which the first page was read
	Changed bool   `json:"c,omitempty"`
	Key     string `json:"k,omitempty"`
	Name    string `json:"n"`
}

// sortTime has the order of times as texts, to the millisecond the records keep.
const sortTime = "2006-01-02T15:04:05.000Z"

func (o Sort) key(secret *Secret) string {
	switch o {
	case SortUpdated, SortNewest:
		return secret.UpdatedAt.UTC().Format(sortTime)
	case SortExpires:
		if secret.ExpiresAt == nil {
			return "~" // after every time
		}
		return secret.ExpiresAt.UTC().Format(sortTime)
	}
	return ""
}

func (o Sort) compare(a, b place) int {
	if a.Changed != b.Changed {
		if b.Changed {
			return -1
		}
		return 1
	}
	order := cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Name, b.Name))
	if strings.HasPrefix(string(o), "-") {
		return -order
	}
	return order
}

// sorted is [list] in another order than that of names. It looks at every secret of the organization for each page.
func (s *Store) sorted(m *image, orgID string, q Query, wanted func(index) (Secret, bool)) (Page[Secret], error) {
	limit, err := pageSize(q.Limit)
	if err != nil {
		return Page[Secret]{}, err
	}
	text, err := s.openToken(q.After, kindSecret, orgID, q)
	if err != nil {
		return Page[Secret]{}, err
	}
	after := place{Begun: m.rev}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &after); err != nil {
			return Page[Secret]{}, errToken()
		}
	}
	type placed struct {
		Secret
		place
	}
	var all []placed
	search := strings.ToLower(q.Search)
	m.secretNames.AscendGreaterOrEqual(index{org: orgID}, func(i index) bool {
		if i.org != orgID {
			return false
		}
		if !strings.Contains(strings.ToLower(i.name), search) {
			return true
		}
		secret, ok := wanted(i)
		if !ok {
			return true
		}
		at := place{Begun: after.Begun, Changed: secret.Revision > after.Begun, Key: q.Sort.key(&secret), Name: secret.Name}
		if text == "" || q.Sort.compare(at, after) > 0 {
			all = append(all, placed{secret, at})
		}
		return true
	})
	slices.SortFunc(all, func(a, b placed) int { return q.Sort.compare(a.place, b.place) })
	page := Page[Secret]{}
	if len(all) > limit {
		last, err := json.Marshal(all[limit-1].place)
		if err != nil {
			return Page[Secret]{}, err
		}
		page.Next = s.token(string(last), kindSecret, orgID, q)
		all = all[:limit]
	}
	page.Items = make([]Secret, len(all))
	for i := range all {
		page.Items[i] = all[i].Secret
	}
	return page, nil
}
