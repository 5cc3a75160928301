// SPDX-License-Identifier: Apache-2.0

package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// asked grants a lease for containers of one pod, as a registry does that knew revision since when it was asked; 0 says nothing of earlier ones.
func (f *fake) asked(id string, since int64, containers ...string) {
	now := time.Now()
	f.put(store.Lease{
		ID: id, OrgID: "org", ProviderID: "p1", Provider: "vault", Path: "database/creds/app", Pod: store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api", UID: "uid"},
		State: store.LeaseActive, GrantedAt: now, RenewedAt: now, ExpiresAt: now.Add(time.Hour), Life: time.Hour, Renewable: true, Containers: containers, Since: since,
	})
}

// known is the newest revision.
func (f *fake) known() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

// wantRevoked checks how often each lease was revoked.
func (f *fake) wantRevoked(t *testing.T, want map[string]int) {
	t.Helper()
	for id, n := range want {
		if _, ok, _, revoked := f.have(id); revoked != n || ok != (n == 0) {
			t.Errorf("%s: recorded %v, revoked %d times, want %d", id, ok, revoked, n)
		}
	}
}

func TestTheLeasesOfEarlierAttemptsOfAnInitContainerAreRevokedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.keep(t)
		f.keep(t)
		for i := range 4 {
			f.asked(fmt.Sprint("attempt ", i), f.known(), "app", "side")
			time.Sleep(10 * time.Second)
			f.wantRevoked(t, map[string]int{fmt.Sprint("attempt ", i): 0})
		}
		time.Sleep(time.Minute)
		f.wantRevoked(t, map[string]int{"attempt 0": 1, "attempt 1": 1, "attempt 2": 1, "attempt 3": 0})
	})
}

func TestALeaseSupersedesNothingBeforeItsAnswerHadTheTimeToBeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.keep(t)
		f.asked("first", f.known(), "app")
		f.asked("lost", f.known(), "app")
		time.Sleep(10 * time.Second)
		if err := f.EndLease(t.Context(), store.Act{}, "org", "lost", lease.Undelivered); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		f.wantRevoked(t, map[string]int{"first": 0, "lost": 1})
	})
}

func TestAContainerThatStartsAnewTakesNothingFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.keep(t)
		f.asked("of all", f.known(), "app", "side")
		f.asked("of one", f.known(), "direct")
		f.asked("of a sidecar", 0, "files")
		time.Sleep(time.Minute)
		f.asked("of one again", f.known(), "direct")
		f.asked("of a sidecar again", 0, "files")
		f.asked("of the app alone", f.known(), "app")
		time.Sleep(time.Minute)
		f.wantRevoked(t, map[string]int{"of all": 0, "of one": 1, "of a sidecar": 0, "of one again": 0, "of a sidecar again": 0, "of the app alone": 0})
	})
}

func TestMarkingASupersededLeaseIsTriedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.set(func() { f.endErr = errors.New("etcd is down") })
		stop := f.keep(t)
		f.asked("first", f.known(), "app")
		f.asked("second", f.known(), "app")
		time.Sleep(time.Minute)
		f.wantRevoked(t, map[string]int{"first": 0, "second": 0})
		stop() // and whoever takes over finds the same
		f.set(func() { f.endErr = nil })
		f.keep(t)
		time.Sleep(time.Minute)
		f.wantRevoked(t, map[string]int{"first": 1, "second": 0})
	})
}

// life is a pod whose containers start, fail and start again, with what each of them has.
type podLife struct {
	t      *testing.T
	fake   *fake
	random *rand.Rand
	n      int
	holds  map[string][]string // :: container → leases it may be using
	late   []func()            // grants of requests that their agents have given up, which the registry goes on with
	final  map[string]int64    // :: group → the revision its last attempt was made at
}

// groups are the containers that ask together: those of the init agent, one that fetches for itself, and the refreshed ones of the sidecar.
var groups = map[string][]string{"init": {"app", "side"}, "direct": {"direct"}, "sidecar": {"files"}}

// attempt is a request of a group whose containers have just stopped. It may be given up and made again, and its answer may be lost.
func (p *podLife) attempt(group string) {
	containers := groups[group]
	for _, c := range containers {
		p.holds[c] = nil
	}
	for {
		since := p.fake.known()
		p.n++
		id := fmt.Sprintf("%s %d", group, p.n)
		switch p.random.IntN(6) {
		case 0: // given up before the provider has answered
			p.late = append(p.late, func() { p.fake.asked(id, since, containers...) })
		case 1: // granted, and the answer is known to be lost
			p.fake.asked(id, since, containers...)
			p.wait()
			if err := p.fake.EndLease(context.Background(), store.Act{}, "org", id, lease.Undelivered); err != nil {
				p.t.Fatal(err)
			}
		case 2: // granted, and lost without anybody's knowledge
			p.fake.asked(id, since, containers...)
		default:
			p.fake.asked(id, since, containers...)
			p.final[group] = since
			for _, c := range containers {
				p.holds[c] = []string{id}
			}
			return
		}
		p.arrive()
		p.wait()
	}
}

// look is a request of the sidecar for containers that run. They use what they have had until they read the files again, if ever.
func (p *podLife) look() {
	p.n++
	id := fmt.Sprintf("look %d", p.n)
	p.fake.asked(id, 0, groups["sidecar"]...)
	p.holds["files"] = append(p.holds["files"], id)
}

// arrive lets some of the requests that were given up get their leases.
func (p *podLife) arrive() {
	for len(p.late) > 0 && p.random.IntN(2) == 0 {
		p.late[0]()
		p.late = p.late[1:]
	}
}

func (p *podLife) wait() {
	time.Sleep(time.Duration(p.random.Int64N(int64(15 * time.Second))))
	p.check()
}

// check fails the test if a lease that a container may use is not active.
func (p *podLife) check() {
	p.t.Helper()
	for c, ids := range p.holds {
		for _, id := range ids {
			if l, ok, _, _ := p.fake.have(id); !ok || l.State != store.LeaseActive {
				p.t.Fatalf("container %s uses lease %q, which is recorded %v as %s (%s)", c, id, ok, l.State, l.Reason)
			}
		}
	}
}

// Whatever becomes of attempts, answers and leaders: no container loses a lease it may be using, none is revoked twice, and at rest those of earlier attempts are gone.
func TestLeasesOfAPodThatStartsAgainAndAgain(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &podLife{t: t, fake: newFake(), random: rand.New(rand.NewPCG(seed, 0)), holds: map[string][]string{}, final: map[string]int64{}}
				stop := p.fake.keep(t)
				p.attempt("init")
				p.look()
				p.attempt("direct")
				for range 60 {
					switch p.random.IntN(8) {
					case 0: // the whole pod, on the same node
						p.holds = map[string][]string{}
						p.attempt("init")
						p.attempt("direct")
						p.look()
					case 1, 2:
						p.attempt("direct")
					case 3:
						p.look()
					case 4:
						p.arrive()
					case 5:
						stop()
						stop = p.fake.keep(t)
					default:
						time.Sleep(time.Minute)
					}
					p.wait()
				}
				p.attempt("init")
				p.attempt("direct")
				time.Sleep(10 * time.Minute)
				p.check()
				p.fake.mu.Lock()
				defer p.fake.mu.Unlock()
				for handle, n := range p.fake.revoked {
					if n != 1 {
						t.Errorf("%q was revoked %d times", handle, n)
					}
				}
				for id, l := range p.fake.leases {
					for group, containers := range groups {
						if slices.Equal(l.Containers, containers) && l.Created <= p.final[group] {
							t.Errorf("%q of an earlier attempt is still %s", id, l.State)
						}
					}
				}
			})
		})
	}
}
