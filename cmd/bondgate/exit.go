package main

// exit is how a command ends whose code says more than well or not: with a cause,
// or with nothing more to say because the answer was written.
type exit struct {
	code  int
	cause error
}

func (e *exit) Error() string {
	if e.cause == nil {
		return "the answer is no"
	}
	return e.cause.Error()
}

func (e *exit) Unwrap() error { return e.cause }

// The codes of commands that compare, as those of diff and grep: a difference is no
// failure.
const (
	exitDiffers = 1
	exitCannot  = 2
)

// comparing gives every failure of a comparing command the code of one that could
// not be run, so that a CI never takes it for an answer.
func comparing(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*exit); ok { //nolint:errorlint // only a code of the command itself is one; wrapped, it is a cause
		return e
	}
	return &exit{code: exitCannot, cause: err}
}
