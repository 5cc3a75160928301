// SPDX-License-Identifier: Apache-2.0

package chainfile

import "os"

// Fail makes writes and syncs end with what the functions return, after they were done as far as n says. A nil function leaves them alone.
func (f *File) Fail(write func() (n int, err error), sync func() error) {
	f.disk = disk{(*os.File).WriteAt, datasync}
	if write != nil {
		f.disk.writeAt = func(file *os.File, p []byte, offset int64) (int, error) {
			n, err := write()
			if n = min(n, len(p)); err == nil {
				n = len(p)
			}
			if n, written := file.WriteAt(p[:n], offset); written != nil {
				return n, written
			}
			return n, err
		}
	}
	if sync != nil {
		f.disk.sync = func(*os.File) error { return sync() }
	}
}
