// SPDX-License-Identifier: Apache-2.0

package envelope_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

func Example() {
	key, err := envelope.ParseKey(envelope.NewKey())
	if err != nil {
		log.Fatal(err)
	}
	ring, err := envelope.NewRing(key)
	if err != nil {
		log.Fatal(err)
	}

	at := envelope.Context{
		Org:     "0199d0c4-6f00-7000-8000-000000000001",
		Secret:  "0199d0c4-6f00-7000-8000-000000000002",
		Version: 1,
		Key:     "/lanyard/v1/versions/0199d0c4-6f00-7000-8000-000000000002/1",
	}
	sealed, err := ring.Seal(at, []byte("hunter2"))
	if err != nil {
		log.Fatal(err)
	}
	value, err := ring.Open(at, sealed)
	fmt.Printf("%s %v\n", value, err)
	clear(value)

	elsewhere := at
	elsewhere.Org = "0199d0c4-6f00-7000-8000-000000000003"
	_, err = ring.Open(elsewhere, sealed)
	fmt.Println(errors.Is(err, envelope.ErrCorrupt))

	fmt.Printf("%+v\n", ring)
	// Output:
	// hunter2 <nil>
	// true
	// [redacted]
}
