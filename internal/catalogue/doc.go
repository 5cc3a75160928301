// SPDX-License-Identifier: Apache-2.0

// Package catalogue states that every reason code stands in its catalogue and its document once, that it is told alike wherever it is told, and that the README leads to every
// guide. It holds only tests, because the components, which have the catalogues, do not know each other.
package catalogue
