// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"cmp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestInstallsThatWouldHurtAreRefusedWithTheFix(t *testing.T) {
	for name, tt := range map[string]struct {
		values    string
		namespace string
		want      string
	}{
		"into kube-system":                        {`{}`, "kube-system", "install with --namespace lanyard-system"},
		"two registries over one embedded etcd":   {`registry: {replicas: 2}`, "", "set etcd.external.endpoints, or registry.replicas=1"},
		"secrets that vanish with the pod":        {`etcd: {persistence: {enabled: false}}`, "", "set development=true"},
		"etcd over plain http":                    {`etcd: {external: {endpoints: ["http://etcd:2379"]}}`, "", "use https://, or set etcd.external.allowPlaintext=true"},
		"etcd over https without its authority":   {`etcd: {external: {endpoints: ["https://etcd:2379"]}}`, "", "set etcd.external.existingSecret"},
		"one injector":                            {`injector: {replicas: 1}`, "", "use 2 or more, or set development=true"},
		"a Vault that is shown the token of pods": {`providers: {trustedAddresses: ["https://vault"], vaultAudience: lanyard}`, "", "choose another one"},
		"pods' tokens for the installation":       {`providers: {podAudiences: [vault, lanyard]}`, "", "choose another one"},
		"a token over plain http":                 {`providers: {trustedAddresses: ["http://vault"]}`, "", "use https://, or set providers.allowHTTP=true"},
		"a network that is none":                  {`providers: {allowCIDRs: ["everything"]}`, "", "/providers/allowCIDRs/0"},
		"audit files one node can mount":          {`{etcd: {external: {endpoints: ["https://etcd:2379"], existingSecret: e}}, registry: {audit: {file: {enabled: true}}}}`, "", "set it to ReadWriteMany"},
		"an ingress without a host":               {`registry: {ingress: {enabled: true}}`, "", "registry.ingress.host"},
		"a sign-in without a client secret":       {`oidc: {issuer: "https://login.example"}`, "", "oidc.existingSecret"},
		"an authority of no issuers":              {`federation: {caSecret: "ca"}`, "", "federation.issuers"},
		"an authority of no image registries":     {`injector: {imageConfig: {caSecret: "ca"}}`, "", "injector.imageConfig.registries"},
		"pull secrets for no image registries":    {`injector: {imageConfig: {pullSecretNamespaces: [billing]}}`, "", "injector.imageConfig.registries"},
		"an image registry with a path":           {`injector: {imageConfig: {registries: ["ghcr.io/me"]}}`, "", "/injector/imageConfig/registries/0"},
		"an issuer of jobs over plain http":       {`federation: {issuers: ["http://forge.example"]}`, "", "/federation/issuers/0"},
		"an issuer over plain http":               {`oidc: {issuer: "http://login.example"}`, "", "/oidc/issuer"},
		"monitors without their operator":         {`metrics: {serviceMonitor: {enabled: true}}`, "", "install the Prometheus operator first"},
		"a user of root":                          {`podSecurityContext: {runAsUser: 0}`, "", "/podSecurityContext/runAsUser"},
		"a label that would select other pods":    {`registry: {podLabels: {app.kubernetes.io/name: x}}`, "", "/registry/podLabels"},
		"an image with its tag in the repository": {`agent: {image: {repository: "a/b:1"}}`, "", "/agent/image/repository"},
		"a plain http registry":                   {`injector: {registryURL: "http://registry"}`, "", "/injector/registryURL"},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]any{}
			if err := yaml.UnmarshalStrict([]byte(tt.values), &values); err != nil {
				t.Fatal(err)
			}
			_, err := renderFor(loadChart(t), values, cmp.Or(tt.namespace, testNamespace))
			if err == nil || !strings.Contains(strings.Join(strings.Fields(err.Error()), " "), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
