// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// jobFlags say where a command runs in the cluster, and as whom.
type jobFlags struct {
	namespace, account, image, delivery string
	user                                int64 // 0: the image's
}

var jobFlagNames = []string{"namespace", "serviceaccount", "image", "delivery", "run-as-user"}

func (j *jobFlags) register(flags *pflag.FlagSet) {
	flags.StringVarP(&j.namespace, "namespace", "n", "", "`namespace` of the Job")
	flags.StringVar(&j.account, "serviceaccount", "", "`name` of the service account the consumer is bound to")
	flags.StringVar(&j.image, "image", "", "the `image` the command is in")
	flags.StringVar(&j.delivery, "delivery", "", "`delivery` of the values: auto, envfile, exec, direct or file; the installation's default otherwise")
	flags.Int64Var(&j.user, "run-as-user", 0, "`uid` to run as, for an image whose user is root or has a name only; the image's otherwise")
}

// printJob prints a Job for kubectl. It is refused if no binding would let its pod have the values.
func (a *app) printJob(j jobFlags, org string, c api.Consumer, command []string) error {
	for name, given := range map[string]string{"namespace": j.namespace, "serviceaccount": j.account, "image": j.image} {
		if given == "" {
			return misuse("--namespace, --serviceaccount and --image say where it runs", "--in-cluster needs --%s", name)
		}
	}
	if j.user < 0 {
		return misuse("", "--run-as-user: a uid is a number above 0")
	}
	wanted := bindingFlags{namespace: j.namespace, account: j.account}
	if !slices.ContainsFunc(c.Bindings, wanted.is) {
		return failed(CheckFailed, fmt.Sprintf("`lanyard consumer bind %s -n %s --service-account %s`, if its pods may have these values", c.Name, j.namespace, j.account),
			fmt.Errorf("consumer %s is not bound to the service account %s/%s", c.Name, j.namespace, j.account))
	}
	text, err := yaml.Marshal(jobOf(j, org, c, command))
	if err != nil {
		return fmt.Errorf("writing the Job: %w", err)
	}
	_, err = a.Out.Write(text)
	return err
}

// manifest is a part of a manifest.
type manifest = map[string]any

// jobOf is a Job that runs once, is not repeated when it fails, and is gone an hour after it ended. It passes the Pod Security Standard "restricted".
func jobOf(j jobFlags, org string, c api.Consumer, command []string) manifest {
	labels := manifest{"app.kubernetes.io/managed-by": "lanyard-run"}
	podLabels := maps.Clone(labels)
	podLabels[podspec.LabelInject] = podspec.InjectTrue
	annotations := manifest{podspec.AnnotationConsumer: org + "/" + c.Name}
	if j.delivery != "" {
		annotations[podspec.AnnotationDelivery] = j.delivery
	}
	security := manifest{"runAsNonRoot": true, "seccompProfile": manifest{"type": "RuntimeDefault"}}
	if j.user > 0 {
		security["runAsUser"] = j.user
	}
	return manifest{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": manifest{"generateName": "lanyard-run-", "namespace": j.namespace, "labels": labels},
		"spec": manifest{
			"backoffLimit": 0, "ttlSecondsAfterFinished": 3600,
			"template": manifest{
				"metadata": manifest{"labels": podLabels, "annotations": annotations},
				"spec": manifest{
					"serviceAccountName": j.account, "restartPolicy": "Never",
					"securityContext": security,
					"containers": []manifest{{
						"name": "run", "image": j.image, "command": command,
						"securityContext": manifest{"allowPrivilegeEscalation": false, "capabilities": manifest{"drop": []string{"ALL"}}},
					}},
				},
			},
		},
	}
}
