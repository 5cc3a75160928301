// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Metrics returns what the pods of a component, "registry" or "injector", tell Prometheus, one after the other. It is an error if there is none.
func (i *Installation) Metrics(ctx context.Context, component string) ([]byte, error) {
	pods, err := i.Client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil {
		return nil, fmt.Errorf("finding the pods of the %s: %w", component, err)
	}
	var all bytes.Buffer
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" {
			continue
		}
		if err := scrape(ctx, "http://"+net.JoinHostPort(pod.Status.PodIP, "9090")+"/metrics", &all); err != nil {
			return nil, fmt.Errorf("reading the metrics of pod %s: %w", pod.Name, err)
		}
	}
	if all.Len() == 0 {
		return nil, fmt.Errorf("no pod of the %s tells metrics", component)
	}
	return all.Bytes(), nil
}

func scrape(ctx context.Context, address string, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	_, err = io.Copy(to, io.LimitReader(response.Body, 16<<20))
	return err
}
