// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestOnlyWarningsAndWorseAreLogged(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(slog.New(slog.NewTextHandler(&out, nil))).With(zap.String("member", "m1"))
	log.Debug("debug")
	log.Info("info")
	log.Warn("slow disk", zap.Int("took", 7))
	log.Error("no disk")
	got := out.String()
	for _, want := range []string{"level=WARN", "slow disk", "took:7", "member:m1", "level=ERROR", "no disk"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %s", want, got)
		}
	}
	if strings.Contains(got, "info") || strings.Contains(got, "debug") {
		t.Errorf("got %s", got)
	}
	newLogger(nil).Error("nowhere")
}
