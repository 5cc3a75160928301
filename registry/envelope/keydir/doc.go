// SPDX-License-Identifier: Apache-2.0

// Package keydir reads a key ring from a directory, as the kubelet mounts it
// from a Kubernetes Secret, and follows the directory while it changes.
//
// The directory holds one file per key-encryption key, of any name: 32 bytes
// in standard base64, with or without a line ending, as [envelope.NewKey]
// writes them. The file "primary" holds the name of the key that seals.
//
//	kek-2025   mWq…=
//	kek-2026   0gX…=
//	primary    kek-2026
//
// Names that begin with a dot are ignored: the kubelet keeps its "..data"
// link there. Everything else must be a key. A directory that breaks a rule is
// refused as a whole, with an error that names the file and the fix and never
// holds any of its content: a ring that silently lacks a key would turn
// readable secrets into errors. File modes are not checked: the kubelet mounts
// Secrets 0444 by default into a file system only that pod sees.
//
// To rotate: add a file, wait until every replica has it, name it in
// "primary", rewrap everything, remove the old file.
package keydir
