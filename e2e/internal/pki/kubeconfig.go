// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
)

// WriteKubeconfig writes to path a kubeconfig that holds everything it needs:
// it can be copied elsewhere on the machine.
func (a *Authority) WriteKubeconfig(path, server string, client Pair) error {
	var embedded [3]string
	for i, file := range []string{a.CA().Cert, client.Cert, client.Key} {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading for kubeconfig: %w", err)
		}
		embedded[i] = base64.StdEncoding.EncodeToString(content)
	}
	const name = "lanyard-e2e"
	type object = map[string]any
	content, err := json.MarshalIndent(object{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters":        []object{{"name": name, "cluster": object{"server": server, "certificate-authority-data": embedded[0]}}},
		"users":           []object{{"name": name, "user": object{"client-certificate-data": embedded[1], "client-key-data": embedded[2]}}},
		"contexts":        []object{{"name": name, "context": object{"cluster": name, "user": name}}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding kubeconfig: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing kubeconfig: %w", err)
	}
	return nil
}
