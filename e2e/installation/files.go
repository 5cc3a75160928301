// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StoredFiles calls visit with the content of every file on the registry's volume, which holds its etcd, and returns how many files and bytes there were. It reads
// them where the node keeps them, so it works where the node is this machine.
func (i *Installation) StoredFiles(ctx context.Context, visit func(content []byte) error) (files int, size int64, err error) {
	dir, err := i.volumeDir(ctx)
	if err != nil {
		return 0, 0, err
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // etcd replaces files while we walk
			return nil
		}
		if err != nil {
			return err
		}
		files++
		size += int64(len(content))
		return visit(content)
	})
	if err == nil && size == 0 {
		err = fmt.Errorf("the registry's volume %s is empty: nothing was searched", dir)
	}
	return files, size, err
}

func (i *Installation) volumeDir(ctx context.Context) (string, error) {
	claim, err := i.Client.CoreV1().PersistentVolumeClaims(Namespace).Get(ctx, "data-"+Release+"-registry-0", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("finding the registry's volume claim: %w", err)
	}
	volume, err := i.Client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("finding the registry's volume: %w", err)
	}
	switch {
	case volume.Spec.Local != nil:
		return volume.Spec.Local.Path, nil
	case volume.Spec.HostPath != nil:
		return volume.Spec.HostPath.Path, nil
	}
	return "", fmt.Errorf("volume %s is not a directory of the node", volume.Name)
}
