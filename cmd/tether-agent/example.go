package main

import _ "embed"

// example is a configuration with comments.
//
//go:embed example.yaml
var example string
