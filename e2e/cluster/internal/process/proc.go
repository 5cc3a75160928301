// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

type stat struct {
	state   byte
	started uint64
}

func readStat(pid int) (stat, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(line)
}

// parseStat reads a line of /proc/PID/stat. The second field, the command name
// in parentheses, may itself hold spaces and parentheses, so fields are counted
// from the last one that closes.
func parseStat(line []byte) (stat, error) {
	end := bytes.LastIndexByte(line, ')')
	if end < 0 {
		return stat{}, errors.New("parsing stat: no command name")
	}
	fields := strings.Fields(string(line[end+1:]))
	const state, started = 3 - 3, 22 - 3 // field numbers count from 1, and the first two are cut off
	if len(fields) <= started {
		return stat{}, fmt.Errorf("parsing stat: %d fields after the command name", len(fields))
	}
	ticks, err := strconv.ParseUint(fields[started], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("parsing stat: start time: %w", err)
	}
	return stat{state: fields[state][0], started: ticks}, nil
}

// Find returns a Record of every process on the machine whose arguments satisfy
// match. A process that ends meanwhile is left out.
func Find(match func(args []string) bool) ([]Record, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var found []Record
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err != nil || len(line) == 0 {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		if !match(args) {
			continue
		}
		if r, err := Identify(pid); err == nil {
			r.Name = args[0]
			found = append(found, r)
		}
	}
	return found, nil
}

// Identify returns a Record of the process that has pid now.
func Identify(pid int) (Record, error) {
	s, err := readStat(pid)
	if err != nil {
		return Record{}, err
	}
	return Record{Name: strconv.Itoa(pid), PID: pid, Started: s.started}, nil
}
