// SPDX-License-Identifier: Apache-2.0

package nodes

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// node is a Linux node that can do everything, until it is changed.
func node(name string, changes ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "v-" + name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", KubeletVersion: "v1.37.2", ContainerRuntimeVersion: "containerd://2.4.2"}
	for _, change := range changes {
		change(n)
	}
	return n
}

func kubeletIs(version string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = version }
}

func TestWhichNodesCount(t *testing.T) {
	const tooOld = "is older than 1.35"
	for name, tc := range map[string]struct {
		nodes                  []*corev1.Node
		count                  int
		envFiles, imageVolumes int // that cannot
		why                    string
	}{
		"none":                          {nil, 0, 0, 0, ""},
		"able ones":                     {[]*corev1.Node{node("a"), node("b")}, 2, 0, 0, ""},
		"one that is too old":           {[]*corev1.Node{node("a"), node("b", kubeletIs("v1.34.1"))}, 2, 1, 1, `node b cannot: its kubelet "v1.34.1" ` + tooOld},
		"two that are, told by name":    {[]*corev1.Node{node("c", kubeletIs("v1.33.0")), node("b", kubeletIs("v1.34.1")), node("a")}, 3, 2, 2, "node b "},
		"a runtime that is too old":     {[]*corev1.Node{node("a", func(n *corev1.Node) { n.Status.NodeInfo.ContainerRuntimeVersion = "containerd://1.7.1" })}, 1, 0, 1, ""},
		"a kubelet nobody knows":        {[]*corev1.Node{node("a", kubeletIs("virtual"))}, 1, 1, 1, "which is none"},
		"an old one that is cordoned":   {[]*corev1.Node{node("a"), node("b", kubeletIs("v1.34.1"), func(n *corev1.Node) { n.Spec.Unschedulable = true })}, 1, 0, 0, ""},
		"an old one that runs Windows":  {[]*corev1.Node{node("a", kubeletIs("v1.34.1"), func(n *corev1.Node) { n.Labels[corev1.LabelOSStable] = "windows" })}, 0, 0, 0, ""},
		"one without a label":           {[]*corev1.Node{node("a", kubeletIs("v1.34.1"), func(n *corev1.Node) { n.Labels = nil })}, 1, 1, 1, tooOld},
		"one that has said nothing yet": {[]*corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}, 1, 1, 1, "which is none"},
	} {
		t.Run(name, func(t *testing.T) {
			known := map[string]facts{}
			for _, n := range tc.nodes {
				if able, counts := read(n); counts {
					known[n.Name] = able
				}
			}
			s := summarize(known)
			if s.Nodes != tc.count || s.EnvFiles.Nodes != tc.envFiles || s.ImageVolumes.Nodes != tc.imageVolumes || !strings.Contains(s.EnvFiles.Why, tc.why) {
				t.Errorf("%+v", s)
			}
			if (s.EnvFiles.Why == "") != (tc.envFiles == 0) || (s.ImageVolumes.Why == "") != (tc.imageVolumes == 0) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestArchitectures(t *testing.T) {
	of := func(label, reported string) func(*corev1.Node) {
		return func(n *corev1.Node) {
			n.Status.NodeInfo.Architecture = reported
			if label != "" {
				n.Labels[corev1.LabelArchStable] = label
			}
		}
	}
	known := map[string]facts{}
	for _, n := range []*corev1.Node{
		node("a", of("arm64", "arm64")), node("b", of("amd64", "amd64")), node("c", of("", "amd64")), node("d", of("riscv64", "amd64")), node("e", of("", "")),
		node("f", of("s390x", "s390x"), func(n *corev1.Node) { n.Spec.Unschedulable = true }),
	} {
		if able, counts := read(n); counts {
			known[n.Name] = able
		}
	}
	if diff := cmp.Diff([]string{"amd64", "arm64", "riscv64"}, summarize(known).Architectures); diff != "" {
		t.Errorf("architectures differ (-want +got):\n%s", diff)
	}
}

// api is an API server of nodes: pages to list, and one watch after the other.
type api struct {
	mu      sync.Mutex // guards all but watches
	pages   [][]*corev1.Node
	listErr error
	lists   int
	watches chan *watch.RaceFreeFakeWatcher
	from    []string // versions that watches began at
}

func newAPI(pages ...[]*corev1.Node) *api {
	return &api{pages: pages, watches: make(chan *watch.RaceFreeFakeWatcher, 10)}
}

// change changes what the next request meets.
func (a *api) change(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
}

func (a *api) List(_ context.Context, options metav1.ListOptions) (*corev1.NodeList, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listErr != nil {
		return nil, a.listErr
	}
	if options.Limit == 0 {
		return nil, errors.New("a list without a limit")
	}
	a.lists++
	page := len(options.Continue)
	list := &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: "listed"}}
	if page < len(a.pages) {
		for _, n := range a.pages[page] {
			list.Items = append(list.Items, *n)
		}
	}
	if page+1 < len(a.pages) {
		list.Continue = strings.Repeat("x", page+1)
	}
	return list, nil
}

func (a *api) Watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	a.change(func() { a.from = append(a.from, options.ResourceVersion) })
	w := watch.NewRaceFreeFake()
	a.watches <- w
	return w, nil
}

// follow runs a Follower within a bubble. settled waits until nothing more happens and returns what it then knows.
func follow(t *testing.T, a *api) (settled func() Summary) {
	ctx, cancel := context.WithCancel(t.Context())
	var told atomic.Pointer[Summary]
	f := New(Config{Client: a, Changed: func(s Summary) { told.Store(&s) }, Log: slog.New(slog.DiscardHandler)})
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		for {
			select {
			case w := <-a.watches:
				w.Stop()
			case <-done:
				return
			}
		}
	})
	return func() Summary {
		synctest.Wait()
		s, known := f.Summary()
		if last := told.Load(); known != (last != nil) || known && !cmp.Equal(*last, s) {
			t.Errorf("told of %+v, knows %+v", last, s)
		}
		return s
	}
}

func TestNodesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI([]*corev1.Node{node("a")}, []*corev1.Node{node("b")})
		settled := follow(t, a)
		if s := settled(); !cmp.Equal(s, Summary{Nodes: 2}) {
			t.Fatalf("after two pages: %+v", s)
		}
		w := <-a.watches
		old := func() *corev1.Node { return node("c", kubeletIs("v1.34.1")) }
		for _, step := range []struct {
			what string
			do   func()
			want [2]int // nodes, and those without env files
		}{
			{"an old node comes", func() { w.Add(old()) }, [2]int{3, 1}},
			{"it tells of itself again", func() { w.Modify(old()) }, [2]int{3, 1}},
			{"it is cordoned", func() {
				n := old()
				n.Spec.Unschedulable = true
				w.Modify(n)
			}, [2]int{2, 0}},
			{"it is uncordoned", func() { w.Modify(old()) }, [2]int{3, 1}},
			{"it is upgraded", func() { w.Modify(node("c")) }, [2]int{3, 0}},
			{"another one comes and goes", func() { w.Add(node("d")); w.Delete(node("d")) }, [2]int{3, 0}},
			{"one goes that was never there", func() { w.Delete(node("e")) }, [2]int{3, 0}},
			{"all go", func() { w.Delete(node("a")); w.Delete(node("b")); w.Delete(node("c")) }, [2]int{0, 0}},
		} {
			step.do()
			if s := settled(); s.Nodes != step.want[0] || s.EnvFiles.Nodes != step.want[1] {
				t.Errorf("%s: %+v", step.what, s)
			}
		}
		w.Stop()
	})
}

func TestAWatchThatEndsGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI([]*corev1.Node{node("a")})
		settled := follow(t, a)
		settled()
		w := <-a.watches
		w.Add(node("b"))
		settled()
		w.Stop()
		time.Sleep(2 * minBackoff)
		w = <-a.watches
		w.Action(watch.Bookmark, &corev1.Node{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "marked"}})
		w.Add(node("c"))
		w.Action(watch.Bookmark, &corev1.Node{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "marked"}})
		if s := settled(); s.Nodes != 3 {
			t.Errorf("a bookmark is no node, and a new watch brings nodes: %+v", s)
		}
		w.Stop()
		time.Sleep(2 * minBackoff)
		w = <-a.watches
		defer w.Stop()
		settled()
		a.mu.Lock()
		defer a.mu.Unlock()
		if diff := cmp.Diff([]string{"listed", "v-b", "marked"}, a.from); diff != "" || a.lists != 1 {
			t.Errorf("%d lists; watches began at (-want +got):\n%s", a.lists, diff)
		}
	})
}

func TestWhatWasMissedIsListedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI([]*corev1.Node{node("a")})
		settled := follow(t, a)
		settled()
		w := <-a.watches
		a.change(func() { a.pages = [][]*corev1.Node{{node("b", kubeletIs("v1.34.1"))}} })
		w.Error(&metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired})
		if s := settled(); s.Nodes != 1 || s.EnvFiles.Nodes != 0 {
			t.Errorf("what was known is forgotten: %+v", s)
		}
		time.Sleep(2 * minBackoff)
		if s := settled(); s.Nodes != 1 || s.EnvFiles.Nodes != 1 {
			t.Errorf("after the second list: %+v", s)
		}
		(<-a.watches).Stop()
	})
}

func TestAnAPIServerThatRefusesIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI([]*corev1.Node{node("a")})
		a.listErr = errors.New("forbidden")
		settled := follow(t, a)
		time.Sleep(10 * time.Minute)
		if s := settled(); s.Nodes != 0 {
			t.Errorf("%+v", s)
		}
		a.change(func() { a.listErr = nil })
		time.Sleep(2 * maxBackoff)
		if s := settled(); s.Nodes != 1 {
			t.Errorf("%+v", s)
		}
		(<-a.watches).Stop()
	})
}
