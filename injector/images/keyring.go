// SPDX-License-Identifier: Apache-2.0

package images

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// credential is what an image pull secret says of a registry. The zero credential is nobody's.
type credential struct{ username, password string }

// keyring is what the image pull secrets of a pod say, as the kubelet puts them together: all in one, the longest and then last name first.
type keyring []entry

type entry struct {
	name string // host[:port][/path], where labels of the host may be globs
	credential
}

// dockerEntry is one of a docker configuration.
type dockerEntry struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"` // base64 of both, which wins
}

// add takes in what a Secret says. It reports false for one that is not of a type for pulling images, or cannot be read, and takes in nothing of it.
func (k *keyring) add(secret *corev1.Secret) bool {
	var entries map[string]dockerEntry
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		var config struct {
			Auths map[string]dockerEntry `json:"auths"`
		}
		if json.Unmarshal(secret.Data[corev1.DockerConfigJsonKey], &config) != nil {
			return false
		}
		entries = config.Auths
	case corev1.SecretTypeDockercfg:
		if json.Unmarshal(secret.Data[corev1.DockerConfigKey], &entries) != nil {
			return false
		}
	default:
		return false
	}
	for name, e := range entries {
		c := credential{e.Username, e.Password}
		if e.Auth != "" {
			c = decodeAuth(e.Auth)
		}
		if name, ok := normalName(name); ok && c.username != "" && c.password != "" {
			*k = append(*k, entry{name, c})
		}
	}
	// By name alone, so that what two Secrets say of one name stays in the order of the pod.
	slices.SortStableFunc(*k, func(a, b entry) int { return -cmp.Compare(a.name, b.name) })
	return true
}

// decodeAuth returns nobody's credential if the text is none.
func decodeAuth(text string) credential {
	encoding := base64.StdEncoding
	if !strings.HasSuffix(strings.TrimSpace(text), "=") {
		encoding = base64.RawStdEncoding
	}
	both, err := encoding.DecodeString(text)
	username, password, _ := strings.Cut(string(both), ":")
	if err != nil {
		return credential{}
	}
	return credential{username, password}
}

// normalName returns a name of a docker configuration as host[:port][/path]: the scheme does not count, nor does the version of an old API.
func normalName(name string) (string, bool) {
	if !strings.HasPrefix(name, "https://") && !strings.HasPrefix(name, "http://") {
		name = "https://" + name
	}
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return "", false
	}
	p := u.Path
	if strings.HasPrefix(p, "/v2/") || strings.HasPrefix(p, "/v1/") {
		p = p[3:]
	}
	if p == "/" {
		p = ""
	}
	return u.Host + p, true
}

// lookup returns the credentials for an image, in the order in which they are tried.
func (k keyring) lookup(r reference) []credential {
	var found, hub []credential
	for _, e := range k {
		if e.matches(r.name()) && !slices.Contains(found, e.credential) {
			found = append(found, e.credential)
		}
		if e.name == "index.docker.io" {
			hub = append(hub, e.credential)
		}
	}
	if len(found) == 0 && r.host == dockerHub {
		return hub // the name by which docker login writes it
	}
	return found
}

// matches reports whether the entry is for an image, given as host/repository: as many labels, each matching as a glob, the same port, and the path a prefix.
func (e entry) matches(image string) bool {
	glob, err := url.Parse("https://" + e.name)
	target, targetErr := url.Parse("https://" + image)
	if err != nil || targetErr != nil || glob.Port() != target.Port() || !strings.HasPrefix(target.Path, glob.Path) {
		return false
	}
	patterns, labels := strings.Split(glob.Hostname(), "."), strings.Split(target.Hostname(), ".")
	if len(patterns) != len(labels) {
		return false
	}
	for i, pattern := range patterns {
		if ok, err := path.Match(pattern, labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
