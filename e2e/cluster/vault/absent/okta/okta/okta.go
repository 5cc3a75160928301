// SPDX-License-Identifier: Apache-2.0

// Package okta stands in for Okta's SDK, twelve megabytes of source that Vault
// needs for one kind of second factor, which nobody has here. Making a client
// of it fails.
package okta

import (
	"context"
	"errors"
	"net/http"
)

type (
	Configuration struct{ Context context.Context }
	ConfigSetter  func(*Configuration)
	APIClient     struct {
		UserAPI       users
		UserFactorAPI factors
	}

	User         struct{ identified }
	Factor       struct{ UserFactorPush *UserFactorPush }
	Verification struct{ Links map[string]any }
	Transaction  struct {
		UserFactorPushTransactionWaiting, UserFactorPushTransaction,
		UserFactorPushTransactionRejected, UserFactorPushTransactionTimeout *struct{}
	}
	UserFactorPush struct{ identified }

	identified     struct{}
	users          struct{}
	factors        struct{}
	request[T any] struct{}
)

func NewConfiguration(...ConfigSetter) (*Configuration, error) {
	return nil, errors.New("second factors of Okta are left out of this Vault")
}

func WithToken(string) ConfigSetter  { return nil }
func WithOrgUrl(string) ConfigSetter { return nil }
func WithCache(bool) ConfigSetter    { return nil }

func NewAPIClient(*Configuration) *APIClient { return &APIClient{} }

func (*APIClient) GetConfig() *Configuration { return &Configuration{} }

func (users) ListUsers(context.Context) request[[]User] { return request[[]User]{} }

func (factors) ListFactors(context.Context, string) request[[]Factor] { return request[[]Factor]{} }

func (factors) VerifyFactor(context.Context, string, string) request[*Verification] {
	return request[*Verification]{}
}

func (factors) GetFactorTransactionStatus(context.Context, string, string, string) request[*Transaction] {
	return request[*Transaction]{}
}

func (identified) GetId() string { return "" }

func (*Verification) GetFactorResult() string { return "" }

func (r request[T]) Filter(string) request[T] { return r }

func (request[T]) Execute() (T, *http.Response, error) {
	var none T
	return none, nil, errors.New("second factors of Okta are left out of this Vault")
}
