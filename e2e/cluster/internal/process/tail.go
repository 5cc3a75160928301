// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"io"
	"os"
)

// tailBytes bounds how much of a log is quoted in an error: about forty lines.
const tailBytes = 6 << 10

// Tail returns the last lines of the log file at path, whole lines only, and
// says so instead if the file cannot be read.
func Tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	start := max(0, info.Size()-tailBytes)
	text, err := io.ReadAll(io.NewSectionReader(file, start, tailBytes))
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	if _, rest, ok := bytes.Cut(text, []byte("\n")); ok && start > 0 {
		text = rest
	}
	if len(text) == 0 {
		return "(the log is empty)"
	}
	return string(bytes.TrimRight(text, "\n"))
}
