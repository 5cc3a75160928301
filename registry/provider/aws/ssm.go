// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"regexp"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

// SSMName is the name of the type of the Parameter Store.
const SSMName = "aws_ssm"

// SSM is the Parameter Store of AWS Systems Manager as a type of provider.
func SSM() provider.Type {
	return provider.Type{
		Name:     SSMName,
		Validate: func(r provider.Record, host provider.Host) error { _, err := parse(r, host); return err },
		Path:     parameterRef,
		Allows:   parameterAllowed,
		Open: func(r provider.Record, host provider.Host) (provider.Provider, error) {
			return open(r, host, func(a *AWS) service {
				return parameters{ssm.New(ssm.Options{
					Region: a.Region, BaseEndpoint: a.baseEndpoint(), Credentials: a.identity, HTTPClient: a.http, Retryer: sdk.NopRetryer{},
				})}
			})
		},
	}
}

var (
	parameterForm = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*$`)
	selectorForm  = regexp.MustCompile(`^([1-9][0-9]{0,9}|[A-Za-z_.-][\w.-]{0,99})$`)
)

// parameterRef brings the name of a parameter to a form without the leading slash, which every name in a hierarchy has: prod/db is /prod/db. A version is a number or a label.
func parameterRef(path, version string) (provider.Ref, error) {
	clean, err := provider.CleanPath(strings.TrimPrefix(path, "/"))
	if err != nil {
		return badReference(err.Error())
	}
	if !parameterForm.MatchString(clean) {
		return badReference("the path must be the name of a parameter: letters, digits, '_', '.', '-' and slashes")
	}
	if strings.HasPrefix(path, "/") && !strings.Contains(clean, "/") {
		return badReference("the path must have no leading slash if the parameter is in no hierarchy")
	}
	if version != "" && !selectorForm.MatchString(version) {
		return badReference("the version must be a number from 1 or a label")
	}
	return provider.Ref{Path: clean, Version: version}, nil
}

func parameterAllowed(path string, prefixes []string) bool {
	trimmed := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		trimmed[i] = strings.TrimPrefix(prefix, "/")
	}
	return provider.Allowed(path, trimmed)
}

type parameters struct{ client *ssm.Client }

func (p parameters) read(ctx context.Context, ref provider.Ref) ([]byte, error) {
	name := ref.Path
	if strings.Contains(name, "/") {
		name = "/" + name
	}
	if ref.Version != "" {
		name += ":" + ref.Version
	}
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: sdk.Bool(true)})
	if err != nil {
		return nil, err
	}
	if out.Parameter == nil || out.Parameter.Value == nil {
		return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer holds no value"}
	}
	return []byte(*out.Parameter.Value), nil
}

func (p parameters) greet(ctx context.Context) error {
	_, err := p.client.DescribeParameters(ctx, &ssm.DescribeParametersInput{MaxResults: sdk.Int32(1)})
	return err
}
