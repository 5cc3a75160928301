// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strconv"
	"strings"
)

// etag is the strong entity tag of an object: the revision of its record.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// expected reads If-Match: the revision the caller has seen, or 0 for none in particular. Of several tags the newest counts; a weak one matches nothing, as
// RFC 9110 has it.
func expected(header *string) (int64, error) {
	if header == nil || strings.TrimSpace(*header) == "" || strings.TrimSpace(*header) == "*" {
		return 0, nil
	}
	newest := int64(0)
	for tag := range strings.SplitSeq(*header, ",") {
		tag = strings.TrimSpace(tag)
		if strings.HasPrefix(tag, "W/") {
			continue
		}
		unquoted, quoted := strings.CutPrefix(tag, `"`)
		unquoted, closed := strings.CutSuffix(unquoted, `"`)
		revision, err := strconv.ParseInt(unquoted, 10, 64)
		if !quoted || !closed || err != nil || revision <= 0 {
			return 0, invalid("header parameter If-Match", "syntax", `it must be an ETag as it was answered, with its quotes, or *`)
		}
		newest = max(newest, revision)
	}
	if newest == 0 {
		return 0, &refusal{kind: kindPrecondition, detail: "a weak ETag matches nothing; send the ETag as it was answered"}
	}
	return newest, nil
}
