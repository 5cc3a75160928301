// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"regexp"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

// SecretsManagerName is the name of the type of AWS Secrets Manager.
const SecretsManagerName = "aws_secrets_manager"

// SecretsManager is AWS Secrets Manager as a type of provider.
func SecretsManager() provider.Type {
	return provider.Type{
		Name:     SecretsManagerName,
		Validate: func(r provider.Record, host provider.Host) error { _, err := parse(r, host); return err },
		Path:     secretRef,
		Open: func(r provider.Record, host provider.Host) (provider.Provider, error) {
			return open(r, host, func(a *AWS) service {
				return secrets{secretsmanager.New(secretsmanager.Options{
					Region: a.Region, BaseEndpoint: a.baseEndpoint(), Credentials: a.identity, HTTPClient: a.http, Retryer: sdk.NopRetryer{},
				})}
			})
		},
	}
}

var (
	secretForm    = regexp.MustCompile(`^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:/?)?[\w/+=.@-]{1,512}$`)
	stageForm     = regexp.MustCompile(`^[\w+=/.@-]{1,256}$`)
	versionIDForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// secretRef checks a name or ARN, and a version: an id, or the label of a stage.
func secretRef(path, version string) (provider.Ref, error) {
	clean, err := provider.CleanPath(path)
	if err != nil {
		return badReference(err.Error())
	}
	if !secretForm.MatchString(clean) {
		return badReference("the path must be the name or ARN of a secret")
	}
	if version != "" && !stageForm.MatchString(version) {
		return badReference("the version must be the id of a version or the label of a stage such as AWSPREVIOUS")
	}
	return provider.Ref{Path: clean, Version: version}, nil
}

type secrets struct{ client *secretsmanager.Client }

func (s secrets) read(ctx context.Context, ref provider.Ref) ([]byte, error) {
	input := &secretsmanager.GetSecretValueInput{SecretId: &ref.Path}
	switch {
	case versionIDForm.MatchString(ref.Version):
		input.VersionId = &ref.Version
	case ref.Version != "":
		input.VersionStage = &ref.Version
	}
	out, err := s.client.GetSecretValue(ctx, input)
	switch {
	case err != nil:
		return nil, err
	case out.SecretString != nil:
		return []byte(*out.SecretString), nil
	case out.SecretBinary != nil:
		return out.SecretBinary, nil
	}
	return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer holds no value"}
}

func (s secrets) greet(ctx context.Context) error {
	_, err := s.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: sdk.String("lanyard/check")}) // which need not exist
	return err
}
