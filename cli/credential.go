// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// credentialFlags say where the credentials of a provider come from. They are an object whose fields the provider's type knows.
type credentialFlags struct {
	file string
	ask  []string
}

const credentialHelp = `
Credentials come from --credentials-file, a YAML or JSON object (- is standard input), or, on a terminal, from a prompt without echo for each --ask-credential.
They are never printed.`

func (c *credentialFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.file, "credentials-file", "", "YAML or JSON `file` with the credentials, - for standard input")
	flags.StringArrayVar(&c.ask, "ask-credential", nil, "ask for this `field` of the credentials, such as secret_id; repeatable")
	cmd.MarkFlagsMutuallyExclusive("credentials-file", "ask-credential")
	refuse(flags, "credentials", "credentials on the command line can be read by every process of this machine and stay in the shell's history",
		"give them with --credentials-file, where - is standard input, or at the prompt of --ask-credential")
	cmd.Long += "\n" + credentialHelp
}

func (c *credentialFlags) given() bool { return c.file != "" || len(c.ask) > 0 }

// read returns the credentials as a JSON object.
func (c *credentialFlags) read(ctx context.Context, a *app, provider string) (redact.Value, error) {
	if c.file != "" {
		object, err := a.readObject(c.file, "--credentials-file")
		return redact.New(object), err
	}
	if a.Terminal == nil {
		return redact.Value{}, misuse("give them with --credentials-file, where - is standard input", "--ask-credential asks, and standard input is not a terminal to ask at")
	}
	fields := make(map[string]string, len(c.ask))
	for _, field := range c.ask {
		text, err := a.Terminal.ReadLine(ctx, fmt.Sprintf("Credential %s of provider %s: ", field, provider), true)
		if err != nil {
			return redact.Value{}, err
		}
		fields[field] = string(text)
	}
	object, err := json.Marshal(fields)
	return redact.New(object), err
}

// onWire is credentials as a request carries them.
func onWire(credentials redact.Value) *json.RawMessage {
	object := json.RawMessage(credentials.Reveal())
	return &object
}

// maxObject is above what the registry accepts of either, so that its own words, which name the field, are heard.
const maxObject = 1 << 20

// readObject reads the one YAML or JSON object of a file. Its errors do not repeat what stands there: it may be a credential.
func (a *app) readObject(path, flag string) (json.RawMessage, error) {
	content, err := a.readFile(path, flag, maxObject)
	if err != nil {
		return nil, err
	}
	documents, err := splitDocuments(content)
	if err != nil || len(documents) != 1 || documents[0][0] != '{' {
		return nil, failed(Failure, "", fmt.Errorf("%s: it is not one YAML or JSON object", flag))
	}
	object, err := yaml.YAMLToJSONStrict(content)
	if err != nil { // it was read before, without that rule
		return nil, failed(Failure, "", errors.New(flag+": a field stands there twice"))
	}
	return object, nil
}
