package main

import (
	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/work"
)

// workTypes are what may be submitted here.
func workTypes(f *config.File) []work.Command {
	types := make([]work.Command, 0, len(f.WorkCommands)+len(f.WorkPythons))
	for _, w := range f.WorkCommands {
		types = append(types, limited(w.Limits, work.Command{
			WorkType: w.WorkType, Command: w.Command, Params: w.Params,
			AllowRuntimeParams: w.AllowRuntimeParams, VerifySignature: w.VerifySignature,
			SeparateStderr: w.SeparateStderr,
		}))
	}
	for _, w := range f.WorkPythons {
		types = append(types, limited(w.Limits, work.Command{
			WorkType: w.WorkType, Python: &work.Python{Plugin: w.Plugin, Function: w.Function, Config: w.Config},
			VerifySignature: w.VerifySignature, SeparateStderr: w.SeparateStderr,
		}))
	}
	return types
}

// limited is a work type with limits.
func limited(l config.Limits, c work.Command) work.Command {
	c.MaxUnits, c.MaxRuntime, c.MaxOutput, c.KeepFor, c.KeepCount = l.MaxUnits, l.MaxRuntime, l.MaxOutput, l.KeepFor, l.KeepCount
	return c
}

// offeredTypes are the types of work that the node announces.
func offeredTypes(f *config.File) []wire.WorkCommand {
	var offered []wire.WorkCommand
	for _, w := range workTypes(f) {
		offered = append(offered, wire.WorkCommand{WorkType: w.WorkType, Secure: w.VerifySignature})
	}
	return offered
}

// workTypesChange tells whether a difference touches them.
func workTypesChange(d *config.Difference) bool {
	return !d.WorkCommands.Empty() || !d.WorkPythons.Empty()
}
