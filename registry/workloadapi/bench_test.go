// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/workloadapi"
)

// instant is an API server that takes no time, so that what is measured is ours.
type instant struct{}

func (instant) ReviewToken(_ context.Context, _, audience string) (*authenticationv1.TokenReviewStatus, error) {
	return &authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{audience}, User: authenticationv1.UserInfo{
		Username: "system:serviceaccount:billing:api",
		Extra: map[string]authenticationv1.ExtraValue{
			"authentication.kubernetes.io/pod-name": {"api-1"}, "authentication.kubernetes.io/pod-uid": {"u1"},
			"authentication.kubernetes.io/node-name": {"node-1"}, "authentication.kubernetes.io/credential-id": {"JTI=1"},
		},
	}}, nil
}

func (instant) Pod(context.Context, string, string) (*corev1.Pod, error) { return livePod, nil }

func (instant) Node(context.Context, string) (*corev1.Node, error) { return liveNode, nil }

var livePod, liveNode = func() (*corev1.Pod, *corev1.Node) {
	pod, node := &corev1.Pod{Spec: corev1.PodSpec{ServiceAccountName: "api", NodeName: "node-1"}}, &corev1.Node{}
	pod.UID, node.Status.NodeInfo.KubeletVersion = "u1", "v1.37.2"
	return pod, node
}()

// nowhere is a client that reads nothing.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(status int)      { n.status = status }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkResolve is a warm resolve through the whole handler: shape check, review and pod (of an API server that takes no time), binding, values of a
// store in memory, the audit log with its line of JSON, the log record, metrics and the answer. HTTP parsing, TLS and decryption are not in it.
func BenchmarkResolve(b *testing.B) {
	for _, envs := range []int{1, 10} {
		b.Run(fmt.Sprintf("secrets=%d", envs), func(b *testing.B) {
			log, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Lines("discard", io.Discard)}})
			if err != nil {
				b.Fatal(err)
			}
			go log.Run(b.Context())
			denied := audit.NewDenials(log.Record, nil)
			authenticator, err := authn.New(authn.Config{API: instant{}, Cluster: "main"})
			if err != nil {
				b.Fatal(err)
			}
			h, err := workloadapi.New(workloadapi.Config{
				Authenticator: authenticator, Resolver: newResolver(b, view{envs}, log, denied), Denied: denied, Cluster: "main", Budget: -1,
				Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)),
				Names:  func(context.Context) <-chan workloadapi.Change { return nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			token := authntest.Good(authntest.New(b), "api-1")
			text := body(envs)
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				reader := strings.NewReader(text)
				r := request(token, text)
				r.Body = io.NopCloser(reader)
				for pb.Next() {
					reader.Reset(text)
					w := &nowhere{header: http.Header{}}
					h.ServeHTTP(w, r)
					if w.status != http.StatusOK && w.status != 0 {
						b.Errorf("status %d", w.status)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "resolves/s")
		})
	}
}
