// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"
)

// Sentence is what people read of an item wherever it is told: "ENV of container, secret, provider: code: message Fix: …".
func (p ItemProblem) Sentence() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of container %s", p.Env, p.Container)
	if p.Secret != "" {
		fmt.Fprintf(&b, ", secret %s", p.Secret)
	}
	if p.Provider != "" {
		fmt.Fprintf(&b, ", provider %s", p.Provider)
	}
	info := p.Code.Info()
	message := p.Message
	if message == "" {
		message = info.Meaning
	}
	fmt.Fprintf(&b, ": %s: %s", p.Code, message)
	if info.Fix != "" {
		fmt.Fprintf(&b, " Fix: %s", info.Fix)
	}
	return b.String()
}

// Sentence is the same of a request, with its items.
func (p *Problem) Sentence() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s [%s]", p.Message, p.Code)
	if fix := p.Code.Info().Fix; fix != "" && len(p.Items) == 0 {
		fmt.Fprintf(&b, ". Fix: %s", fix)
	}
	for _, item := range p.Items {
		b.WriteString("; ")
		b.WriteString(strings.TrimSuffix(item.Sentence(), "."))
	}
	return b.String()
}
