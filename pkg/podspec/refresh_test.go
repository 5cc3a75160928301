// SPDX-License-Identifier: Apache-2.0

package podspec_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

func TestParseRefresh(t *testing.T) {
	for text, want := range map[string]time.Duration{"off": 0, "10s": 10 * time.Second, "24h": 24 * time.Hour, "1m30s": 90 * time.Second} {
		if got, err := podspec.ParseRefresh(text); err != nil || got != want {
			t.Errorf("ParseRefresh(%q) = %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "is not a duration", "30": "is not a duration", "true": "is not a duration", "9.9s": "must be between 10s and 24h0m0s", "24h1ns": "must be between", "-1m": "must be between",
	} {
		if got, err := podspec.ParseRefresh(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRefresh(%q) = %v, %v, want %q", text, got, err, want)
		}
	}
}

func TestReloadURLsStayInThePod(t *testing.T) {
	for text, want := range map[string]int{"http://127.0.0.1:8080/reload?now=1": 8080, "http://[::1]:1/": 1, "http://127.0.0.1:65535": 65535} {
		if got, err := podspec.ParseReloadURL(text); err != nil || got != want {
			t.Errorf("ParseReloadURL(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "reload", "127.0.0.1:8080", "https://127.0.0.1:8080/", "http://localhost:8080/", "http://127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/",
		"http://127.0.0.2:80/", "http://127.1:80/", "http://2130706433:80/", "http://127.0.0.1.example.com:80/", "http://u:p@127.0.0.1:80/", "http://127.0.0.1:80/#x",
		"http://169.254.169.254:80/", "http://[::ffff:127.0.0.1]:80/", "http://[::1%25eth0]:80/", "unix:///run/x", "http://127.0.0.1:80/" + strings.Repeat("x", 1024), "http://127.0.0.1:80/\n",
	} {
		if port, err := podspec.ParseReloadURL(text); err == nil {
			t.Errorf("ParseReloadURL(%q) = %d", text, port)
		}
	}
}
