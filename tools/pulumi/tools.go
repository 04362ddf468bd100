//go:build tools

// Package tools names the one program that this module exists to build: the Pulumi CLI, at the version of the SDK.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
