// SPDX-License-Identifier: Apache-2.0

// Command hello is the smallest image there is to build.
package main

func main() { println("hello") }
