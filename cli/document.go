// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
)

type organizationDocument struct {
	Kind        string  `json:"kind"`
	Slug        string  `json:"slug"`
	DisplayName *string `json:"display_name"`
}

type secretDocument struct {
	Kind          string         `json:"kind"`
	Organization  string         `json:"organization"`
	Name          string         `json:"name"`
	Description   *string        `json:"description"`
	Labels        *api.Labels    `json:"labels"`
	ExpiresAt     *time.Time     `json:"expires_at"`
	ProviderID    *string        `json:"provider_id"`
	RemotePath    *string        `json:"remote_path"`
	RemoteKey     *string        `json:"remote_key"`
	RemoteVersion *string        `json:"remote_version"`
	Grants        *[]api.Binding `json:"grants"`
	ValueFile     string         `json:"value_file"`
	TrimNewline   bool           `json:"trim_newline"`

	value *redact.Value // content of ValueFile
}

type consumerDocument struct {
	Kind         string            `json:"kind"`
	Organization string            `json:"organization"`
	Name         string            `json:"name"`
	ConsumerKind *api.ConsumerKind `json:"consumer_kind"`
	Description  *string           `json:"description"`
	Labels       *api.Labels       `json:"labels"`
	Envs         *[]api.Env        `json:"envs"`
	Bindings     *[]api.Binding    `json:"bindings"`
	Deliveries   *[]api.Delivery   `json:"deliveries"`
}

func (d *organizationDocument) identity() (kind, organization, name string) {
	return d.Kind, "", d.Slug
}
func (d *secretDocument) identity() (kind, organization, name string) {
	return d.Kind, d.Organization, d.Name
}
func (d *consumerDocument) identity() (kind, organization, name string) {
	return d.Kind, d.Organization, d.Name
}

// documentKinds in the order in which they are applied: what is referred to comes first.
var documentKinds = []string{"Organization", "Secret", "Consumer"}

// readDocuments reads a file of documents, with the value files it names.
func (a *app) readDocuments(path string) ([]document, error) {
	content, err := a.readFile(path, "--filename", maxManifest)
	if err != nil {
		return nil, err
	}
	raw, err := splitDocuments(content)
	if err != nil { // its words may quote what somebody took for the place of a value
		return nil, failed(Failure, "", errors.New("reading the documents: one of them is not valid YAML"))
	}
	documents := make([]document, 0, len(raw))
	for n, text := range raw {
		d, err := a.readDocument(text, filepath.Dir(path))
		if err != nil {
			return nil, located(fmt.Sprintf("document %d", n+1), err)
		}
		documents = append(documents, d)
	}
	slices.SortStableFunc(documents, func(x, y document) int {
		a, _, _ := x.identity()
		b, _, _ := y.identity()
		return cmp.Compare(slices.Index(documentKinds, a), slices.Index(documentKinds, b))
	})
	return documents, nil
}

func (a *app) readDocument(text json.RawMessage, dir string) (document, error) {
	var head struct {
		Kind         string `json:"kind"`
		Organization string `json:"organization"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, decodingError(err)
	}
	organization := head.Organization
	if organization == "" && head.Kind != "Organization" {
		_, c, err := a.chosen()
		if err != nil {
			return nil, err
		}
		organization = cmp.Or(a.flags.organization, a.Getenv("LANYARD_ORG"), c.Organization)
		if organization == "" {
			return nil, misuse("give --org or the document's organization", "it is not known which organization is meant")
		}
	}
	switch head.Kind {
	case "Organization":
		d := &organizationDocument{}
		return d, decodeStrictly(text, d)
	case "Secret":
		d := &secretDocument{}
		if err := decodeStrictly(text, d); err != nil {
			return nil, err
		}
		d.Organization = organization
		return d, a.readValueFile(d, dir)
	case "Consumer":
		d := &consumerDocument{}
		err := decodeStrictly(text, d)
		d.Organization = organization
		return d, err
	}
	return nil, fmt.Errorf("its kind must be one of %s", strings.Join(documentKinds, ", "))
}

func (a *app) readValueFile(d *secretDocument, dir string) error {
	if d.ValueFile == "" {
		return nil
	}
	path := d.ValueFile
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	v, err := (&valueFlags{file: path, trim: d.TrimNewline}).fromFile(a, "value_file")
	if err == nil {
		d.value = &v
	}
	return err
}

func decodeStrictly(text json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decodingError(decoder.Decode(into))
}

// decodingError says what is wrong with a document without repeating what stands there.
func decodingError(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return fmt.Errorf("field %s has the wrong type", cmp.Or(wrongType.Field, "kind"))
	case strings.HasPrefix(err.Error(), `json: unknown field "value`):
		return failed(Failure, "keep the value in a file of its own and name it with value_file", errors.New("a document holds no value"))
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return errors.New("a field cannot be read")
}
