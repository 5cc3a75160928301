// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
)

// versionInterval is how often the API server's version is read again: clusters are upgraded under running injectors.
const versionInterval = 5 * time.Minute

// serverVersion asks the API server what it is.
func serverVersion(ctx context.Context, client rest.Interface) (version.Info, error) {
	var info version.Info
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	raw, err := client.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return info, fmt.Errorf("reading the API server's version: %w", err)
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return info, fmt.Errorf("decoding the API server's version: %w", err)
	}
	return info, nil
}
