// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestEndpointsAreRefusedUnlessTheyAreSafe(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	https := []string{"https://etcd:2379"}
	for name, tc := range map[string]struct {
		endpoints store.Endpoints
		want      string // in the error; "" for none
	}{
		"https":                    {store.Endpoints{URLs: https}, ""},
		"http on loopback":         {store.Endpoints{URLs: []string{"http://127.0.0.1:2379", "http://[::1]:2379"}}, ""},
		"http elsewhere":           {store.Endpoints{URLs: []string{"http://etcd:2379"}}, "must be https"},
		"one of two in the clear":  {store.Endpoints{URLs: []string{"https://a:2379", "http://b:2379"}}, "must be https"},
		"no scheme":                {store.Endpoints{URLs: []string{"etcd:2379"}}, "must be https"},
		"none":                     {store.Endpoints{}, "no endpoints"},
		"a certificate, no key":    {store.Endpoints{URLs: https, CertFile: empty}, "needs its key"},
		"files that are not there": {store.Endpoints{URLs: https, CertFile: "/nowhere", KeyFile: "/nowhere"}, "no such file"},
		"a CA file without any":    {store.Endpoints{URLs: https, CAFile: empty}, "holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := store.Dial(tc.endpoints)
			if err == nil {
				client.Close()
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
