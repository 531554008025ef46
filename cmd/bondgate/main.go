// Command bondgate is the gateway and its command line. Its composition root,
// app.go, is the one place that knows every room and joins them; nothing is
// decided and nothing is stored here.
//
// It refuses to be a way round the server: every command but serve, config, login,
// logout and version speaks to the running one, by the socket in its data folder.
// Nobody imports it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/bondgate/bondgate/cmd/bondgate/internal/credential"
)

// version is set by the linker.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	program := run
	if filepath.Base(os.Args[0]) == credential.HelperProgram {
		program = helper
	}
	code := program(ctx, deps{environ: os.Environ()}, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, d deps, args []string) int {
	cmd := newRoot(d)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	var end *exit
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 130
	case errors.As(err, &end) && end.cause == nil:
		return end.code
	case end != nil:
		fmt.Fprintln(os.Stderr, "bondgate: "+cleanLines(err.Error()))
		return end.code
	default:
		fmt.Fprintln(os.Stderr, "bondgate: "+cleanLines(err.Error()))
		return 1
	}
}
