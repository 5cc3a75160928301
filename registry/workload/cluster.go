// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/internal/events"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Cluster is the API server of one cluster, asked for the names of pods only, and told of starts that failed.
type Cluster struct{ client rest.Interface }

// Dial returns the cluster of a client configuration, which it does not change. It opens no connection yet.
func Dial(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.RateLimiter = -1, nil
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // for the Status of an error
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("configuring the Kubernetes client: %w", err)
	}
	c, err := rest.UnversionedRESTClientForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("configuring the Kubernetes client: %w", err)
	}
	return &Cluster{c}, nil
}

// Events is where Events of the cluster are posted.
func (c *Cluster) Events() events.API { return events.Client{REST: c.client} }

const (
	pageSize = 1000
	// maxPage bounds what is read of one page: 64 KiB for each pod, of whose metadata annotations are most.
	maxPage = pageSize * 64 << 10
	// watchSeconds is how long one watch lasts; the API server would end it after 30 to 60 minutes.
	watchSeconds = "600"
	// The label and phases of pods that can have received something. Those that leave the selection are told as deleted.
	labels = podspec.LabelInject + "=" + podspec.InjectTrue
	fields = "status.phase!=Succeeded,status.phase!=Failed"
)

// metadata is all that is read of a pod.
type metadata struct {
	Metadata struct {
		Namespace       string `json:"namespace"`
		Name            string `json:"name"`
		UID             string `json:"uid"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Code int `json:"code"` // of a Status
}

func (m metadata) pod() store.Pod {
	return store.Pod{Namespace: m.Metadata.Namespace, Name: m.Metadata.Name, UID: m.Metadata.UID}
}

// list yields the pods there are and returns the version they are of.
func (c *Cluster) list(ctx context.Context, yield func(store.Pod)) (version string, err error) {
	more := ""
	for {
		var page struct {
			Metadata struct {
				ResourceVersion string `json:"resourceVersion"`
				Continue        string `json:"continue"`
			} `json:"metadata"`
			Items []metadata `json:"items"`
		}
		request := c.client.Get().AbsPath("/api/v1/pods").SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").
			Param("labelSelector", labels).Param("fieldSelector", fields).Param("limit", fmt.Sprint(pageSize))
		if more != "" {
			request = request.Param("continue", more)
		}
		body, err := request.MaxRetries(0).Stream(ctx)
		if err != nil {
			return "", fmt.Errorf("listing pods: %w", withoutBody(err))
		}
		err = json.NewDecoder(io.LimitReader(body, maxPage)).Decode(&page)
		_ = body.Close()
		if err != nil {
			return "", errors.New("listing pods: the API server's answer could not be read")
		}
		for _, item := range page.Items {
			yield(item.pod())
		}
		if more = page.Metadata.Continue; more == "" {
			return page.Metadata.ResourceVersion, nil
		}
	}
}

// errExpired means that a watch cannot go on from where it was.
var errExpired = errors.New("the API server does not know this version any more")

// watch calls there and gone for pods that appear and go after a version, until the API server ends it, and returns how far it came.
func (c *Cluster) watch(ctx context.Context, version string, there, gone func(store.Pod)) (string, error) {
	body, err := c.client.Get().AbsPath("/api/v1/pods").SetHeader("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").
		Param("labelSelector", labels).Param("fieldSelector", fields).Param("watch", "true").Param("allowWatchBookmarks", "true").
		Param("resourceVersion", version).Param("timeoutSeconds", watchSeconds).MaxRetries(0).Stream(ctx)
	switch {
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
		return version, errExpired
	case err != nil:
		return version, fmt.Errorf("watching pods: %w", withoutBody(err))
	}
	defer body.Close()
	decoder := json.NewDecoder(body)
	for {
		var event struct {
			Type   string   `json:"type"`
			Object metadata `json:"object"`
		}
		if err := decoder.Decode(&event); err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return version, ctx.Err()
			}
			return version, errors.New("watching pods: the API server's answer could not be read")
		}
		switch event.Type {
		case "ADDED", "MODIFIED":
			there(event.Object.pod())
		case "DELETED":
			gone(event.Object.pod())
		case "BOOKMARK":
		case "ERROR":
			if event.Object.Code == http.StatusGone {
				return version, errExpired
			}
			return version, fmt.Errorf("watching pods: the API server answered %d", event.Object.Code)
		default:
			continue
		}
		version = event.Object.Metadata.ResourceVersion
	}
}

// withoutBody keeps of an error what can be logged: client-go puts bodies it does not understand into its errors.
func withoutBody(err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		s := status.Status()
		return fmt.Errorf("the API server answered %d %s", s.Code, s.Reason)
	}
	return err
}
